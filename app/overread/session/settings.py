"""What the reader likes, in one frozen value and one TOML file."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from overread.domain.errors import UserError

SCHEMA_VERSION = 1
_RECENT = 8


def _account() -> str:
    """The name of the account, until the reader says otherwise."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0].strip()
    except (ImportError, KeyError):
        name = ""
    try:
        return name or getpass.getuser()
    except (OSError, KeyError):
        return ""


@dataclass(frozen=True)
class Settings:
    """All settings with their defaults."""

    # The reader's name, as it goes into reports and the journal.
    reader: str = field(default_factory=_account)
    # Models that read a fitting series as soon as it is open.
    models_on: tuple[str, ...] = ("glioma-flair",)
    # How strongly findings are filled, 0 to 1.
    opacity: float = 0.20
    # Diameter of the brush in mm.
    brush_mm: float = 10.0
    # Where exports went last.
    export_folder: str = ""
    # Studies opened last, newest first.
    recent: tuple[str, ...] = ()
    # Shortcuts that differ from the table: action id → keys.
    keys: dict[str, str] = field(default_factory=dict)

    def opened(self, path: str) -> Settings:
        """The settings after a study was opened."""
        others = [other for other in self.recent if other != path]
        return replace(self, recent=(path, *others)[:_RECENT])


def load(path: Path) -> Settings:
    """Read the settings; what is missing takes its default. UserError where the file cannot be understood."""
    try:
        table = tomlkit.parse(path.read_text("utf-8")).unwrap()
    except FileNotFoundError:
        return Settings()
    except (OSError, TOMLKitError, UnicodeDecodeError) as error:
        raise UserError(f"The settings in {path} cannot be read.", "Correct or delete the file.") from error
    known: dict[str, Any] = {}
    for item in fields(Settings):
        if item.name in table:
            value = table[item.name]
            known[item.name] = tuple(value) if isinstance(value, list) else value
    try:
        settings = Settings(**known)
        return replace(settings, opacity=float(settings.opacity), brush_mm=float(settings.brush_mm))
    except (TypeError, ValueError) as error:
        raise UserError(f"The settings in {path} cannot be read.", "Correct or delete the file.") from error


def save(path: Path, settings: Settings) -> None:
    """Write the settings at once or not at all; keys that this version does not know stay."""
    try:
        document = tomlkit.parse(path.read_text("utf-8"))
    except (OSError, TOMLKitError, UnicodeDecodeError):
        document = tomlkit.document()
    document["schema_version"] = SCHEMA_VERSION
    for item in fields(Settings):
        value = getattr(settings, item.name)
        document[item.name] = list(value) if isinstance(value, tuple) else value
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(tomlkit.dumps(document), "utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"The settings cannot be saved in {path.parent}.", "Make the folder writable.") from error
