"""What was found about the links of the chain, kept from one start to the next."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """What a self-test gave: the greatest deviation (None where it was no number) and milliseconds a slice."""

    passed: bool
    why: str
    error: float | None
    milliseconds: float | None


class Book:
    """Verdicts in one JSON file, and a folder beside it for what each link has compiled. Safe to use from threads.

    A link of a model has one `place`, and there one entry, which holds for one `key`: all that the verdict depends on.
    Under another key there is nothing, and what is kept then takes the place of what was there. A file that cannot be
    read is as good as none, one that cannot be written is done without.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "verdicts.json"
        self._lock = threading.Lock()

    def find(self, place: str, key: str) -> Entry | None:
        """The entry for a place and key."""
        with self._lock:
            kept = self._read().get(place)
        return _entry(kept) if isinstance(kept, dict) and kept.get("key") == key else None

    def keep(self, place: str, key: str, entry: Entry) -> None:
        """Put an entry in its place; what was compiled under another key is deleted.

        Where the folder cannot be written nothing is kept: the next start finds out anew.
        """
        with self._lock, suppress(OSError):
            table = self._read()
            before = table.get(place)
            old = before.get("key") if isinstance(before, dict) else None
            if isinstance(old, str) and old != key:
                shutil.rmtree(self.compiled(old), ignore_errors=True)
            table[place] = {
                "key": key,
                "passed": entry.passed,
                "why": entry.why,
                "error": entry.error,
                "milliseconds": entry.milliseconds,
            }
            self._write(table)

    def passed(self, start: str) -> bool:
        """Whether there is an entry that passed, under whatever key, in a place whose name starts so."""
        with self._lock:
            kept = self._read()
        entries = (
            _entry(entry) for place, entry in kept.items() if place.startswith(start) and isinstance(entry, dict)
        )
        return any(entry is not None and entry.passed for entry in entries)

    def compiled(self, key: str) -> Path:
        """Where what was compiled under a key lies."""
        return self._folder / "compiled" / Path(key[:32]).name

    def _read(self) -> dict[str, Any]:
        try:
            table = json.loads(self._file.read_text("utf-8"))
            return dict(table["links"]) if table["schema"] == _SCHEMA else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write(self, links: dict[str, Any]) -> None:
        """Whole or not at all: another program may read at the same time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="verdicts-", suffix=".part", dir=self._folder)
        part = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"schema": _SCHEMA, "links": links}, file, indent=1)
            part.replace(self._file)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def _entry(kept: dict[str, Any]) -> Entry | None:
    """An entry as it stands in the file; None where it makes no sense."""
    passed, why, error, took = (kept.get(name) for name in ("passed", "why", "error", "milliseconds"))
    if not isinstance(passed, bool) or not isinstance(why, str):
        return None
    if not all(value is None or isinstance(value, (int, float)) for value in (error, took)):
        return None
    if passed and (error is None or took is None):
        return None
    return Entry(passed, why, error, took)
