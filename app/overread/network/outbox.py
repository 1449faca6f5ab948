"""The outbox: packets that wait on disk until their receiver has them. A process may be killed at any moment.

A packet is a folder of files, copied there and flushed to the disk before anything knows of it, and its rows in an
SQLite database (WAL), which say what became of each object. Several processes may add, list, retry and remove at the
same time; one at a time sends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from overread.domain.errors import UserError
from overread.network.packets import Fate, Item, Packet, State

SCHEMA = 1
# Seconds to the second attempt; each further one waits twice as long, up to an hour.
FIRST_S, LONGEST_S = 5.0, 3600.0
# A copy that nobody finished in a day was cut short.
_ABANDONED_S = 86400.0
# What is done is listed for a month.
_KEPT_S = 30 * 86400.0
_TABLES = (
    "CREATE TABLE packets (id TEXT PRIMARY KEY, node TEXT NOT NULL, created REAL NOT NULL, state TEXT NOT NULL, "
    "attempts INTEGER NOT NULL, next_at REAL, reason TEXT NOT NULL, transaction_uid TEXT NOT NULL, "
    "changed REAL NOT NULL)",
    "CREATE TABLE items (packet TEXT NOT NULL REFERENCES packets(id) ON DELETE CASCADE, number INTEGER NOT NULL, "
    "file TEXT NOT NULL, sop_class_uid TEXT NOT NULL, sop_instance_uid TEXT NOT NULL, transfer_syntax TEXT NOT NULL, "
    "sha256 TEXT NOT NULL, fate TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (packet, number))",
)
_PACKET = "SELECT id, node, created, state, attempts, next_at, reason, transaction_uid FROM packets"
_ITEM = "SELECT file, sop_class_uid, sop_instance_uid, transfer_syntax, sha256, fate, reason FROM items"


def delay_s(attempts: int) -> float:
    """How long to wait after so many attempts in vain: 5 s, 10 s, 20 s … up to an hour."""
    return min(FIRST_S * 2.0 ** min(max(attempts - 1, 0), 30), LONGEST_S)


class Outbox:
    """The open outbox. Its methods may be called from any thread, each call on a connection of its own.

    UserError where the folder cannot be read or written.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.folder, self.now = folder, now
        self._path = folder / "outbox.sqlite"

    @property
    def exists(self) -> bool:
        """Whether anything was ever put into it."""
        return self._path.exists()

    # Putting in and taking out

    def add(self, node: str, files: Sequence[Path]) -> Packet:
        """Put copies of files in, to go to a node together; whole or not at all. UserError where that fails."""
        packet_id = uuid.uuid4().hex
        with self._plainly():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # patients' objects lie in it
            self._sweep()
            partial = self.folder / f".{packet_id}"
            try:
                partial.mkdir()
                items = [_copied(path, partial / f"{number:04d}.dcm") for number, path in enumerate(files, 1)]
                _flush(partial)
                with self._transaction() as db:
                    moment = self.now()
                    partial.replace(self._folder_of(packet_id))
                    row = (packet_id, node, moment, State.WAITING, 0, moment, "", "", moment)
                    db.execute("INSERT INTO packets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
                    for number, item in enumerate(items):
                        self._insert(db, packet_id, number, item)
                    _flush(self.folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                if not self._known(packet_id):
                    shutil.rmtree(self._folder_of(packet_id), ignore_errors=True)
                raise
        return self.packet(packet_id)

    @staticmethod
    def _insert(db: sqlite3.Connection, packet_id: str, number: int, item: Item) -> None:
        facts = (item.file, item.sop_class_uid, item.sop_instance_uid, item.transfer_syntax, item.sha256)
        row = (packet_id, number, *facts, item.fate, item.reason)
        db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def remove(self, packet_id: str) -> None:
        """Forget a packet; what the receiver has of it stays there. UserError where there is none of that name."""
        packet = self.packet(packet_id)
        with self._plainly(), self._transaction() as db:
            db.execute("DELETE FROM packets WHERE id = ?", (packet.id,))
        shutil.rmtree(self._folder_of(packet.id), ignore_errors=True)

    def retry(self, packet_id: str) -> None:
        """Try again at once, what was refused too. UserError where nothing of it is left to do."""
        packet = self.packet(packet_id)
        if packet.state in (State.COMMITTED, State.SENT) and not packet.open:
            raise UserError("This packet has arrived; nothing is left to be sent.")
        with self._plainly(), self._transaction() as db:
            db.execute(
                "UPDATE items SET fate = ?, reason = '' WHERE packet = ? AND fate = ?",
                (Fate.WAITING, packet.id, Fate.REFUSED),
            )
            state = State.SENT if packet.state is State.SENT else State.WAITING
            db.execute(
                "UPDATE packets SET state = ?, attempts = 0, next_at = ?, changed = ? WHERE id = ?",
                (state, self.now(), self.now(), packet.id),
            )

    # Looking

    def packets(self) -> tuple[Packet, ...]:
        """All packets, oldest first."""
        if not self.exists:
            return ()
        with self._plainly(), self._connected() as db:
            return tuple(self._read(db, row) for row in db.execute(f"{_PACKET} ORDER BY created, id").fetchall())

    def packet(self, packet_id: str) -> Packet:
        """One packet; the first letters of its name will do. UserError where there is not exactly one."""
        found = [packet for packet in self.packets() if packet_id and packet.id.startswith(packet_id)]
        if len(found) != 1:
            raise UserError(
                f"There is {'more than one' if found else 'no'} packet {packet_id} in the outbox.",
                "“overread outbox list” names them.",
            )
        return found[0]

    def due(self) -> Packet | None:
        """The packet that something is to be done for now, the longest overdue one first."""
        ready = [packet for packet in self.packets() if packet.next_at is not None and packet.next_at <= self.now()]
        return min(ready, key=lambda packet: packet.next_at or 0.0, default=None)

    def bytes_of(self, packet: Packet, item: Item) -> bytes | None:
        """The bytes of an object as they were put in; None where the file is gone or no longer the same."""
        try:
            raw = (self._folder_of(packet.id) / item.file).read_bytes()
        except OSError:
            return None
        return raw if hashlib.sha256(raw).hexdigest() == item.sha256 else None

    # What the sender writes down; of a packet that was removed meanwhile nothing is written

    def record(self, packet: Packet, item: Item, fate: Fate, reason: str = "") -> bool:
        """Write down what became of an object. False where the packet was taken out meanwhile."""
        with self._plainly(), self._transaction() as db:
            done = db.execute(
                "UPDATE items SET fate = ?, reason = ? WHERE packet = ? AND sop_instance_uid = ?",
                (fate, reason, packet.id, item.sop_instance_uid),
            )
            return done.rowcount > 0

    def settle(
        self,
        packet: Packet,
        state: State,
        *,
        reason: str = "",
        next_at: float | None = None,
        attempts: int = 0,
        transaction: str = "",
    ) -> None:
        """Write down where a packet is now. The files of one that has arrived for good are deleted."""
        with self._plainly(), self._transaction() as db:
            db.execute(
                "UPDATE packets SET state = ?, reason = ?, next_at = ?, attempts = ?, transaction_uid = ?, changed = ? "
                "WHERE id = ?",
                (state, reason, next_at, attempts, transaction, self.now(), packet.id),
            )
        if state in (State.SENT, State.COMMITTED) and next_at is None:
            shutil.rmtree(self._folder_of(packet.id), ignore_errors=True)

    @contextmanager
    def sender(self) -> Iterator[bool]:
        """Be the one who sends, if nobody else is: True then. It ends with the process, however that ends.

        The lock is SQLite's own on a file of its own: that of the standard library which every system has.
        """
        with self._plainly():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(self.folder / "sender.sqlite", timeout=0.0, isolation_level=None)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
            else:
                yield True
        finally:
            lock.close()

    # Below

    def _folder_of(self, packet_id: str) -> Path:
        return self.folder / packet_id

    def _known(self, packet_id: str) -> bool:
        with suppress(UserError, sqlite3.Error):
            return any(packet.id == packet_id for packet in self.packets())
        return True  # what cannot be told is not deleted

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10.0, isolation_level=None)
        try:
            db.execute("PRAGMA foreign_keys=ON")
            db.execute("PRAGMA synchronous=FULL")
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._prepare(db)
            if db.execute("PRAGMA user_version").fetchone()[0] > SCHEMA:
                raise UserError("A newer Overread has used this outbox.", "Send with that version.")
            yield db
        finally:
            db.close()

    @staticmethod
    def _prepare(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for table in _TABLES:
                db.execute(table)
            db.execute(f"PRAGMA user_version={SCHEMA}")
        db.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """What happens inside is written whole, or not at all."""
        with self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.rollback()
                raise

    @staticmethod
    def _read(db: sqlite3.Connection, row: tuple[str, str, float, str, int, float | None, str, str]) -> Packet:
        items = tuple(
            Item(file, sop_class, sop_instance, syntax, sha256, Fate(fate), said)
            for file, sop_class, sop_instance, syntax, sha256, fate, said in db.execute(
                f"{_ITEM} WHERE packet = ? ORDER BY number", (row[0],)
            )
        )
        key, node, created, state, attempts, next_at, reason, transaction = row
        return Packet(key, node, created, State(state), attempts, next_at, reason, transaction, items)

    def _sweep(self) -> None:
        """Delete what a killed process left half done, and forget what was done long ago."""
        with self._transaction() as db:
            old = self.now() - _KEPT_S
            db.execute("DELETE FROM packets WHERE next_at IS NULL AND state != ? AND changed < ?", (State.FAILED, old))
            known = {row[0] for row in db.execute("SELECT id FROM packets")}
            for entry in self.folder.iterdir():
                if not entry.is_dir() or entry.name in known:
                    continue
                if not entry.name.startswith(".") or time.time() - entry.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise UserError(f"The outbox in {self.folder} cannot be used: {error}.", "Free some space.") from error
            raise UserError(f"The outbox in {self._path} is damaged.", "Put the file aside, and send again.") from error
        except OSError as error:
            raise UserError(
                f"The outbox in {self.folder} cannot be written: {error.strerror or error}.", "Free some space."
            ) from error


def _copied(source: Path, target: Path) -> Item:
    """Copy a file and flush it to the disk; what it is, by its own header. UserError where it is no DICOM object."""
    raw = source.read_bytes()
    with target.open("xb") as copy:
        copy.write(raw)
        copy.flush()
        os.fsync(copy.fileno())
    try:
        header = dcmread(target, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        facts = str(header.SOPClassUID), str(header.SOPInstanceUID), str(header.file_meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, ValueError, KeyError) as error:
        raise UserError(f"{source.name} is no DICOM object, so it cannot be sent.") from error
    return Item(target.name, *facts, hashlib.sha256(raw).hexdigest())


def _flush(folder: Path) -> None:
    """Have the names in a folder on the disk too, where the system lets one ask for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
