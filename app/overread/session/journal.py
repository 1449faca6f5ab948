"""The journal of one study: every step, before the screen shows it. What recovery reads, and what an audit reads.

SQLite in WAL mode: a process killed at any moment leaves every finished step behind. Entries are chained by hash, so
that a changed line shows.
"""

from __future__ import annotations

import errno
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from overread.domain.errors import UserError
from overread.domain.finding import Findings, Mask
from overread.domain.probability import Probabilities
from overread.domain.reasons import with_reason
from overread.domain.study import Identity
from overread.session.history import History
from overread.session.records import (
    Record,
    from_record,
    pack,
    parts,
    read_mask,
    read_probabilities,
    read_reason,
    to_record,
    voxels_of,
)

SCHEMA = 1
# The entries that make findings what they are; others only tell.
_CHANGES = ("edit", "undo", "redo")
_TABLES = (
    "CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE masks (digest TEXT PRIMARY KEY, bits BLOB NOT NULL)",
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, at TEXT NOT NULL, reader TEXT NOT NULL, verb TEXT NOT NULL, "
    "label TEXT NOT NULL, model TEXT NOT NULL, change TEXT NOT NULL, hash TEXT NOT NULL)",
)


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `verb` is edit, undo, redo, explain, export, send or open."""

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


class Unwritable(UserError):
    """The disk takes nothing: it is full, or closed to this reader."""


class Journal:
    """The open journal of a study. One thread writes; `settle` may be called from another."""

    def __init__(self, path: Path, study_uid: str, closed: Unwritable | None = None) -> None:
        """Open or make it. UserError where that cannot be done, or the file is damaged or none of ours.

        With ``closed``, why it cannot be written, it is there to be read alone: what it holds, or nothing.
        """
        self.path = path
        self.closed = closed
        # By how much the clock stood before the last entry when one was written; who tells of it sets it to nothing.
        self.behind = timedelta()
        self._masks: WeakValueDictionary[str, Mask] = WeakValueDictionary()
        self._probabilities: WeakValueDictionary[str, Probabilities] = WeakValueDictionary()
        with _plainly(path, KeyError, ValueError, TypeError):
            if closed is None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._connected()
            try:
                self._prepare(study_uid)
                self._number, *_ = self._last()
            except BaseException:
                self._db.close()
                raise

    def _connected(self) -> sqlite3.Connection:
        """The file; or what can be read of it without a lock, or without it an empty one in memory."""
        place, uri = str(self.path), False
        if self.closed is not None:
            place, uri = ":memory:", False
            with suppress(OSError):
                if self.path.exists():
                    place, uri = f"{self.path.absolute().as_uri()}?immutable=1", True
        return sqlite3.connect(place, timeout=5.0, isolation_level=None, check_same_thread=False, uri=uri)

    def _prepare(self, study_uid: str) -> None:
        """Make the tables of a new file; leave a file alone that is none of ours."""
        if self._empty():
            self._db.execute("PRAGMA journal_mode=WAL")
            with self._transaction():
                if self._empty():
                    for table in _TABLES:
                        self._db.execute(table)
                    facts = {"schema": str(SCHEMA), "uid": study_uid}
                    self._db.executemany("INSERT INTO study VALUES (?, ?)", facts.items())
        if self.closed is None:
            self._db.execute("PRAGMA synchronous=NORMAL")
        known = dict(self._db.execute("SELECT key, value FROM study"))
        if int(known["schema"]) > SCHEMA:
            raise UserError("A newer Overread has read this study.", "Open it with that version.")
        if known["uid"] != study_uid:
            raise ValueError("another study's journal")

    def _empty(self) -> bool:
        return not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """What happens inside is written whole, or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.rollback()
            raise

    def _last(self) -> tuple[int, str, str]:
        """Number, hash and time of the last entry in the file."""
        row = self._db.execute("SELECT number, hash, at FROM entries ORDER BY number DESC LIMIT 1").fetchone()
        return (int(row[0]), str(row[1]), str(row[2])) if row else (0, "", "")

    @property
    def current(self) -> bool:
        """Whether nobody else has written since."""
        with _plainly(self.path):
            return self._last()[0] == self._number

    def write(
        self,
        verb: str,
        label: str,
        reader: str,
        before: Findings = (),
        after: Findings = (),
        model: str = "",
        record: str = "",
    ) -> None:
        """Write one step, whole or not at all. UserError where it cannot be written; the step must not happen then.

        `record` is what else is to be known of a step that is no edit, as JSON.
        """
        if self.closed is not None:
            raise self.closed
        held, left = {finding.id: finding for finding in before}, {finding.id for finding in after}
        change = {
            "set": [to_record(finding) for finding in after if held.get(finding.id) != finding],
            "drop": [finding_id for finding_id in held if finding_id not in left],
            "order": [finding.id for finding in after],
        }
        text = json.dumps(change) if verb == "edit" else record
        now = datetime.now(UTC)
        at = now.isoformat(timespec="milliseconds")
        known = {voxels.digest for finding in before for voxels in voxels_of(finding)}
        fresh = {held.digest: held for finding in after for held in voxels_of(finding) if held.digest not in known}
        rows = [(digest, pack(voxels)) for digest, voxels in fresh.items()]
        with _plainly(self.path):
            with self._transaction():
                number, previous, before_that = self._last()
                if verb in _CHANGES and self._strangers():
                    raise UserError(
                        "This study is being read in another window, which has written meanwhile.",
                        "Close one of the two and open the study again.",
                    )
                entry = Entry(number + 1, at, reader, verb, label, model, text, "")
                entry = replace(entry, hash=entry.chained(previous))
                self._db.executemany("INSERT OR IGNORE INTO masks VALUES (?, ?)", rows)
                self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(entry))
            if verb in _CHANGES or number == self._number:
                self._number = entry.number
            self.behind = max(self.behind, _behind(before_that, now))

    def _strangers(self) -> bool:
        """Whether another program has changed the findings since."""
        rows = self._db.execute("SELECT verb FROM entries WHERE number > ?", (self._number,))
        return any(verb in _CHANGES for (verb,) in rows)

    def settle(self) -> None:
        """Have the disk hold what the system still keeps in memory, so that a power cut loses nothing either."""
        # Through a connection of its own: on the shared one a step that is just being read would be in the way.
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=5.0)) as own:
                own.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise UserError(
                "The disk did not take the last steps: a power cut would lose them.", "Free some space."
            ) from error

    def entries(self) -> Iterator[Entry]:
        """All entries, oldest first. UserError where the file is damaged."""
        with _plainly(self.path, TypeError):
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
        history: History[Findings] = History((), parts)
        number = 0
        with _plainly(self.path, KeyError, ValueError, TypeError):
            for entry in self.entries():
                if entry.verb == "edit":
                    history.push(entry.label, self._apply(history.value, json.loads(entry.change)))
                elif entry.verb == "undo":
                    history.undo()
                elif entry.verb == "redo":
                    history.redo()
                elif entry.verb == "explain":
                    explain(history, json.loads(entry.change))
                number = entry.number
        self._number = number
        return history

    def _apply(self, findings: Findings, change: dict[str, Any]) -> Findings:
        held = {finding.id: finding for finding in findings}
        for record in change["set"]:
            before = held.get(record["id"])
            reasons = () if before is None else before.reasons  # entered by themselves
            held[record["id"]] = replace(from_record(record, self._mask, self._likely), reasons=reasons)
        return tuple(held[finding_id] for finding_id in change["order"])

    def _mask(self, record: Record) -> Mask:
        """The mask of a record; versions of findings share it, as they did when they were made."""
        mask = self._masks.get(record["digest"])
        if mask is None:
            mask = self._masks[record["digest"]] = read_mask(record, self._packed(record))
        return mask

    def _likely(self, record: Record) -> Probabilities:
        """The probabilities of a record, shared as masks are."""
        kept = self._probabilities.get(record["digest"])
        if kept is None:
            kept = self._probabilities[record["digest"]] = read_probabilities(record, self._packed(record))
        return kept

    def _packed(self, record: Record) -> bytes:
        row = self._db.execute("SELECT bits FROM masks WHERE digest = ?", (record["digest"],)).fetchone()
        if row is None:
            raise ValueError("a mask in the journal is missing")
        return bytes(row[0])


def explain(history: History[Findings], record: Record) -> None:
    """Lay what a model answered to its finding, in every version of it: no step, so nothing that undo takes back."""
    finding_id, reason = read_reason(record)
    history.amend(lambda findings: with_reason(findings, finding_id, reason))


# What SQLite's primary result codes mean to the reader.
_FULL = "The disk is full: the step was neither saved nor done.", "Free some space and repeat it."
_CLOSED = "The journal in {path.parent} cannot be written; nothing was changed.", "Make it writable."
_HELD = "The journal is held by another program; nothing was changed.", "Repeat it in a moment."
_DAMAGED = "The journal {path} is damaged.", "Move it elsewhere, then open the study again."
_MEANINGS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_PERM: _CLOSED,
    sqlite3.SQLITE_READONLY: _CLOSED,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_IOERR: _CLOSED,
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
}


@contextmanager
def _plainly(path: Path, *damage: type[Exception]) -> Iterator[None]:
    """A fault of the file or the disk becomes a UserError; `damage` is what content raises that makes no sense."""
    meant: tuple[type[Exception], ...] = (sqlite3.Error, *damage)
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except OSError as error:
        title, hint = _FULL if error.errno == errno.ENOSPC else _CLOSED
        raise Unwritable(title.format(path=path), hint) from error
    except meant as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        title, hint = meaning = _MEANINGS.get(code, _DAMAGED)
        kind = Unwritable if meaning in (_FULL, _CLOSED) else UserError
        raise kind(title.format(path=path), hint) from error


def _behind(earlier: str, now: datetime) -> timedelta:
    """By how much a time in the journal lies after `now`; less than a second is a clock that is being trimmed."""
    ahead = datetime.fromisoformat(earlier) - now if earlier else timedelta()
    return ahead if ahead > timedelta(seconds=1) else timedelta()


def set_back(entries: Iterable[Entry]) -> Iterator[tuple[int, timedelta]]:
    """Where in a journal the clock was set back: the entry, and by how much it lies before the one ahead of it."""
    earlier = ""
    for entry in entries:
        behind = _behind(earlier, datetime.fromisoformat(entry.at))
        if behind:
            yield entry.number, behind
        earlier = entry.at


def in_words(time: timedelta) -> str:
    """A span of time for people: "3 h 12 min"."""
    minutes, seconds = divmod(round(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")) if n]
    return " ".join(parts[:2])


def journal_path(folder: Path, who: Identity) -> Path:
    """A study's journal. Its name tells nothing about the patient; two patients never share one."""
    key = (*who.person, who.study_uid)
    digest = hashlib.sha256(json.dumps(key if any(key) else (who.series_uid,)).encode()).hexdigest()
    return folder / f"{digest[:32]}.sqlite"
