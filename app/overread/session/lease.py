"""Who may write: one window at a time for each study, whatever process or machine it belongs to."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path


class Lease:
    """The right to change a study's findings.

    It is an exclusive transaction on an empty database beside the journal. The system ends that with the process that
    holds it, however it dies, so that no lease is ever left behind.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_suffix(".lock")
        self._db: sqlite3.Connection | None = None

    @property
    def held(self) -> bool:
        """Whether this sitting has it."""
        return self._db is not None

    def take(self) -> bool:
        """Have it, if nobody else does; returns whether it is held now.

        Where the folder cannot be written it is held for nothing: the journal says what is wrong with the disk.
        """
        if self._db is not None:
            return True
        db = None
        try:
            db = sqlite3.connect(self._path, timeout=0.0, isolation_level=None, check_same_thread=False)
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if db is not None:
                db.close()
            return getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        self._db = db
        return True

    def release(self) -> None:
        """Let another window have it."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
