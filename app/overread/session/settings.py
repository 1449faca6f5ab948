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
from overread.network.nodes import Node, node_table, nodes_of

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
    # Receivers, one table [nodes.NAME] each.
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


def _understood(table: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    """The settings that a file means, and why values make no sense, by their keys; those take their defaults."""
    known: dict[str, Any] = {}
    wrong = {}
    for name, meant in _MEANT.items():
        if name in table:
            try:
                known[name] = meant(table[name])
            except (TypeError, ValueError) as error:
                wrong[name] = f"{name} ({error})" if str(error) else name
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
        tell(
            UserError(f"In {path} {', '.join(wrong.values())} makes no sense; the default holds.", "Correct the file.")
        )
    return settings


def _put(table: Any, there: Any, wanted: Any) -> list[str]:
    """Write the fields of `wanted` that differ from those of `there` into a table, and which ones those are.

    What is a table of its own is changed key by key, so that what else stands in it stays.
    """
    changed = []
    for item in fields(wanted):
        old, new = getattr(there, item.name), getattr(wanted, item.name)
        if new == old:
            continue
        changed.append(item.name)
        before, after = _tables(old), _tables(new)
        if before is None or after is None:
            table[item.name] = _plain(new)
            continue
        if not isinstance(table.get(item.name), dict):
            table[item.name] = tomlkit.table(is_super_table=item.name == "nodes")
        _merge(table[item.name], before, after)
    return changed


def _merge(table: Any, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Take over what differs between two tables. One entry gone and one come is an entry renamed: it keeps the rest."""
    gone, come = [key for key in old if key not in new], [key for key in new if key not in old]
    if len(gone) == len(come) == 1 and gone[0] in table:
        table[come[0]] = table.pop(gone[0])
        old = {**old, come[0]: old[gone[0]]}
    for key in gone:
        table.pop(key, None)
    for key, value in new.items():
        if key in old and old[key] == value:
            continue
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], old.get(key, {}), value)
        else:
            table[key] = value


def _tables(value: Any) -> dict[str, Any] | None:
    """A value that is a table of its own in the file: what it holds, as TOML has it; None for all others."""
    if isinstance(value, Remote):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple) and all(isinstance(one, Node) for one in value):
        return {node.name: node_table(node) for node in value}
    return None


def _plain(value: Any) -> Any:
    """A value as TOML has it."""
    return list(value) if isinstance(value, tuple) else value


def save(path: Path, settings: Settings, before: Settings | None = None) -> None:
    """Write the settings at once or not at all; only what differs from `before`, by default from what the file says.

    So keys and values that this version does not understand stay, and so do the number of a newer version, and what
    somebody else changed meanwhile. UserError, and nothing is written, where the file is no TOML any more, where what
    is to be written would stand beside something that makes no sense, or where the folder cannot be written.
    """
    try:
        document = tomlkit.parse(path.read_text("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        document = tomlkit.document()
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged, so nothing was saved.", "Correct the file, or move it away.") from error
    except OSError as error:
        raise UserError(f"The settings in {path} cannot be read, so nothing was saved.", "Make it readable.") from error
    there = before or _understood(document.unwrap())[0]
    document.setdefault("schema_version", SCHEMA_VERSION)
    changed = _put(document, there, settings)
    try:
        text = tomlkit.dumps(document)
        _, wrong = _understood(tomlkit.parse(text).unwrap())
        senseless = [wrong[name] for name in changed if name in wrong]
        if senseless:
            raise UserError(f"In {path} {', '.join(senseless)} makes no sense, so nothing was saved.", "Correct it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except (OSError, UnicodeEncodeError) as error:
        raise UserError(f"The settings cannot be saved in {path.parent}.", "Make the folder writable.") from error
