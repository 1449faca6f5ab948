"""What the reader likes, in one frozen value and one TOML file."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from overread.domain.errors import UserError
from overread.infer.backends.remote import Remote
from overread.network.nodes import Node, nodes_of

SCHEMA_VERSION = 1
_RECENT = 8
# The ninth digit is for a free text.
MOST_REASONS = 8


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
    # Models that read a fitting series as soon as it is open. The one for T1c is not among them: it marks healthy
    # things on whole series too often, which is for readers who ask for it.
    models_on: tuple[str, ...] = ("glioma-flair", "cxr-pneumonia", "retina-vessels", "lung-nodule")
    # How strongly findings are filled, 0 to 1.
    opacity: float = 0.20
    # Diameter of the brush in mm.
    brush_mm: float = 10.0
    # Where exports went last.
    export_folder: str = ""
    # Studies opened last, newest first.
    recent: tuple[str, ...] = ()
    # Why readers reject, in the order of the digit keys; a free text can always be given instead.
    reasons: tuple[str, ...] = ("artefact", "vessel", "normal variant", "duplicate", "wrong extent")
    # Shortcuts that differ from the table: action id → keys.
    keys: dict[str, str] = field(default_factory=dict)
    # What receivers open, in the reader's words: name → products. The table [profiles].
    profiles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # The profile that exports went by last.
    export_profile: str = ""
    # The inference server of the house, and when it is asked: the table [remote].
    remote: Remote = field(default_factory=Remote)
    # Receivers, one table [nodes.NAME] each; written by hand, never by the program.
    nodes: tuple[Node, ...] = ()

    def opened(self, path: str) -> Settings:
        """The settings after a study was opened."""
        if path.encode("utf-8", "replace") != path.encode("utf-8", "surrogateescape"):
            return self  # a name that is no text (PEP 383) has no place in a file of text
        others = [other for other in self.recent if other != path]
        return replace(self, recent=(path, *others)[:_RECENT])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(item) for item in value)


def _reasons(value: Any) -> tuple[str, ...]:
    given = _texts(value)
    if not 0 < len(given) <= MOST_REASONS or not all(text.strip() for text in given):
        raise ValueError(f"one to {MOST_REASONS} reasons")
    return given


def _number(low: float, high: float) -> Callable[[Any], float]:
    def within(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError
        return float(value)

    return within


def _keys(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    return {_text(action): _text(keys) for action, keys in value.items()}


def _profiles(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise TypeError
    return {_text(name): _texts(products) for name, products in value.items()}


def _remote(value: Any) -> Remote:
    if not isinstance(value, dict):
        raise TypeError
    return Remote.of(value)


def _nodes(value: Any) -> tuple[Node, ...]:
    if not isinstance(value, dict):
        raise TypeError
    return nodes_of(value)


# What a value in the file has to be; TypeError or ValueError where it is not.
_MEANT: dict[str, Callable[[Any], Any]] = {
    "reader": _text,
    "models_on": _texts,
    "opacity": _number(0.0, 1.0),
    "brush_mm": _number(0.5, 200.0),
    "export_folder": _text,
    "recent": _texts,
    "reasons": _reasons,
    "keys": _keys,
    "profiles": _profiles,
    "export_profile": _text,
    "remote": _remote,
    "nodes": _nodes,
}


def _understood(table: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """The settings that a file means, and the keys whose values make no sense; those take their defaults."""
    known: dict[str, Any] = {}
    wrong = []
    for name, meant in _MEANT.items():
        if name in table:
            try:
                known[name] = meant(table[name])
            except (TypeError, ValueError) as error:
                wrong.append(f"{name} ({error})" if str(error) else name)
    return Settings(**known), wrong


def load(path: Path, tell: Callable[[UserError], None]) -> Settings:
    """Read the settings; what is missing or makes no sense takes its default. `tell` hears of what is wrong.

    A file that is no TOML is put aside, so that nothing of it is lost when the settings are saved again.
    """
    try:
        table = tomlkit.parse(path.read_text("utf-8-sig")).unwrap()
    except FileNotFoundError:
        return Settings()
    except (TOMLKitError, UnicodeDecodeError):
        aside = path.with_suffix(".damaged.toml")
        with suppress(OSError):
            path.replace(aside)
        tell(UserError(f"The settings in {path} are damaged; the defaults hold.", f"The old file is now {aside.name}."))
        return Settings()
    except OSError:
        tell(UserError(f"The settings in {path} cannot be read; the defaults hold.", "Make the file readable."))
        return Settings()
    settings, wrong = _understood(table)
    if wrong:
        tell(UserError(f"In {path} {', '.join(wrong)} makes no sense; the default holds.", "Correct the file."))
    return settings


def _put(table: Any, there: Any, wanted: Any) -> None:
    """Write the fields of `wanted` that differ from those of `there` into a table, and into the tables within."""
    for item in fields(wanted):
        old, new = getattr(there, item.name), getattr(wanted, item.name)
        if isinstance(new, Remote):
            if new != old:
                if not isinstance(table.get(item.name), dict):
                    table[item.name] = tomlkit.table()
                _put(table[item.name], old, new)
        elif new != old:
            table[item.name] = _plain(new)


def _plain(value: Any) -> Any:
    """A value as TOML has it."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def save(path: Path, settings: Settings) -> None:
    """Write the settings at once or not at all; only what differs from what the file says already.

    So keys and values that this version does not understand stay, and so does the number of a newer version.
    """
    try:
        document = tomlkit.parse(path.read_text("utf-8-sig"))
    except (OSError, TOMLKitError, UnicodeDecodeError):
        document = tomlkit.document()
    there, _ = _understood(document.unwrap())
    settings = replace(settings, nodes=there.nodes)
    document.setdefault("schema_version", SCHEMA_VERSION)
    _put(document, there, settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(tomlkit.dumps(document), "utf-8")
        partial.replace(path)
    except (OSError, UnicodeEncodeError) as error:
        raise UserError(f"The settings cannot be saved in {path.parent}.", "Make the folder writable.") from error
