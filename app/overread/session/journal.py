"""The journal of one study: every step, before the screen shows it. What recovery reads, and what an audit reads.

SQLite in WAL mode: a process killed at any moment leaves every finished step behind. Entries are chained by hash, so
that a changed line shows.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overread.domain.errors import UserError
from overread.domain.finding import Findings, find
from overread.session.history import History
from overread.session.records import cost, from_record, masks_of, pack_mask, to_record

SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS study (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS masks (digest TEXT PRIMARY KEY, bits BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, reader TEXT NOT NULL, verb TEXT NOT NULL, label TEXT NOT NULL,
    model TEXT NOT NULL, change TEXT NOT NULL, hash TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `verb` is edit, undo, redo, export or open."""

    number: int
    at: str
    reader: str
    verb: str
    label: str
    model: str
    change: str
    hash: str

    def chained(self, previous: str) -> str:
        """What its hash has to be after an entry with the hash `previous`."""
        parts = [previous, self.number, self.at, self.reader, self.verb, self.label, self.model, self.change]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Journal:
    """The open journal of a study. One thread writes; `settle` may be called from another."""

    def __init__(self, path: Path, study_uid: str) -> None:
        """Open or make it. UserError where that cannot be done, or the file is damaged."""
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
            self._db.execute("INSERT OR IGNORE INTO study VALUES ('schema', ?)", (str(SCHEMA),))
            self._db.execute("INSERT OR IGNORE INTO study VALUES ('uid', ?)", (study_uid,))
            last = self._db.execute("SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise _trouble(path, error) from error
        self._number: int = last[0] if last else 0
        self._hash: str = last[1] if last else ""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def write(
        self, verb: str, label: str, reader: str, before: Findings = (), after: Findings = (), model: str = ""
    ) -> None:
        """Write one step, whole or not at all. UserError where it cannot be written; the step must not happen then."""
        change = {
            "set": [to_record(finding) for finding in after if find(before, finding.id) != finding],
            "drop": [finding.id for finding in before if find(after, finding.id) is None],
            "order": [finding.id for finding in after],
        }
        text = json.dumps(change) if verb == "edit" else ""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = Entry(self._number + 1, at, reader, verb, label, model, text, "")
        chained = entry.chained(self._hash)
        known = {mask.digest for finding in before for mask in masks_of(finding)}
        fresh = {mask.digest: mask for finding in after for mask in masks_of(finding) if mask.digest not in known}
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                rows = [(digest, pack_mask(mask)) for digest, mask in fresh.items()]
                self._db.executemany("INSERT OR IGNORE INTO masks VALUES (?, ?)", rows)
                self._db.execute(
                    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (entry.number, at, reader, verb, label, model, text, chained),
                )
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError):
                    raise UserError(
                        "This study is being read in another window, which has written meanwhile.",
                        "Close one of the two and open the study again.",
                    ) from error
                raise _trouble(self.path, error) from error
        self._number, self._hash = entry.number, chained

    def settle(self) -> None:
        """Have the disk hold what the system still keeps in memory, so that a power cut loses nothing either."""
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def entries(self) -> Iterator[Entry]:
        """All entries, oldest first."""
        for row in self._db.execute("SELECT * FROM entries ORDER BY number"):
            yield Entry(*row)

    def broken(self) -> int | None:
        """The number of the first entry whose hash does not fit; None where all do."""
        previous = ""
        for entry in self.entries():
            if entry.chained(previous) != entry.hash:
                return entry.number
            previous = entry.hash
        return None

    def replay(self) -> History[Findings]:
        """The findings as they were left, with the steps that led there. UserError where the file is damaged."""
        history: History[Findings] = History((), cost)
        try:
            for entry in self.entries():
                if entry.verb == "edit":
                    history.push(entry.label, self._apply(history.value, json.loads(entry.change)))
                elif entry.verb == "undo":
                    history.undo()
                elif entry.verb == "redo":
                    history.redo()
        except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
            raise _trouble(self.path, error) from error
        return history

    def _apply(self, findings: Findings, change: dict[str, Any]) -> Findings:
        held = {finding.id: finding for finding in findings}
        for record in change["set"]:
            held[record["id"]] = from_record(record, self._bits)
        return tuple(held[finding_id] for finding_id in change["order"])

    def _bits(self, digest: str) -> bytes:
        row = self._db.execute("SELECT bits FROM masks WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise ValueError("a mask in the journal is missing")
        return bytes(row[0])


def _trouble(path: Path, error: Exception) -> UserError:
    """What a fault of the file or the disk means to the reader."""
    text = str(error).lower()
    if "full" in text:
        return UserError("The disk is full: the step was neither saved nor done.", "Free some space and repeat it.")
    if "readonly" in text or "read-only" in text or "unable to open" in text or isinstance(error, OSError):
        return UserError(f"The journal in {path.parent} cannot be written; nothing was changed.", "Make it writable.")
    if "locked" in text or "busy" in text:
        return UserError("The journal is held by another program; nothing was changed.", "Repeat it in a moment.")
    return UserError(f"The journal {path} is damaged.", "Move it elsewhere, then open the study again.")


def journal_path(folder: Path, patient_id: str, patient_name: str, study_uid: str) -> Path:
    """A study's journal. Its name tells nothing about the patient; two patients never share one."""
    digest = hashlib.sha256("\n".join((patient_id, patient_name, study_uid)).encode()).hexdigest()
    return folder / f"{digest[:32]}.sqlite"
