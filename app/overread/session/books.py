"""The findings of each study that was opened in this sitting, with the way they came about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from overread.domain.errors import UserError
from overread.domain.finding import Findings
from overread.domain.listing import Listing
from overread.domain.study import Identity
from overread.session.history import History
from overread.session.journal import Journal, Unwritable, explain, in_words, journal_path
from overread.session.lease import Lease


@dataclass(eq=False)
class Book:
    """One study's findings. Every step goes into the journal first; UserError where that fails, and nothing happens.

    `listing` is how they were last listed: it is the same for all series of the study, and no other study's.
    """

    history: History[Findings]
    journal: Journal
    lease: Lease
    saved: datetime | None = None
    # Why nothing can be changed: another window was there first, or the disk takes nothing; None where it can.
    closed: UserError | None = None
    listing: Listing = field(default_factory=Listing)

    @property
    def findings(self) -> Findings:
        """The findings now."""
        return self.history.value

    def edit(self, label: str, findings: Findings, reader: str, model: str) -> None:
        """Make one named step."""
        self._must_be_ours()
        self.journal.write("edit", label, reader, self.findings, findings, model)
        self.history.push(label, findings)
        self.saved = datetime.now()

    def travel(self, verb: str, reader: str) -> str:
        """Undo or redo one step; returns its name, "" where there is none."""
        label = self.history.undo_label if verb == "undo" else self.history.redo_label
        if label:
            self._must_be_ours()
            self.journal.write(verb, label, reader)
            if verb == "undo":
                self.history.undo()
            else:
                self.history.redo()
            self.saved = datetime.now()
        return label

    def note(self, verb: str, label: str, reader: str, record: str) -> None:
        """Enter what is no step: an export, say, or what a model answered when it was asked why."""
        self.journal.write(verb, label, reader, record=record)
        if verb == "explain":
            explain(self.history, json.loads(record))

    @property
    def clock_went_back(self) -> UserError | None:
        """What to tell of a clock that the last step showed to have been set back; once for each time."""
        behind, self.journal.behind = self.journal.behind, timedelta()
        if not behind:
            return None
        return UserError(
            f"This machine's clock stands {in_words(behind)} before the step that was saved last.",
            "Nothing is lost, the journal numbers its steps; but set the clock right: its times go into reports.",
        )

    def begin(self) -> None:
        """Have the study to write in, unless another window has; bring in what others have written meanwhile."""
        self._try()
        if not self.journal.current:
            self.history = self.journal.replay()

    def end(self) -> None:
        """Let another window write."""
        self.lease.release()

    def _try(self) -> None:
        self.closed = self.journal.closed
        if self.closed is None and not self.lease.take():
            self.closed = UserError(
                "This study is open in another window, so that it is read-only here; nothing was changed.",
                "Go on there, or close it there and repeat it here.",
            )

    def _must_be_ours(self) -> None:
        """Raise why nothing can be changed. A window that is closed by now is no hindrance any more."""
        self._try()
        if self.closed is not None:
            raise self.closed


class Books:
    """The books of a sitting, one for each study of each patient."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._books: dict[Path, Book] = {}

    def of(self, who: Identity) -> Book:
        """The book of a study, opened where it was left. UserError where its journal cannot be used."""
        path = journal_path(self._folder, who)
        book = self._books.get(path)
        if book is None:
            try:
                journal = Journal(path, who.study_uid)
            except Unwritable as error:  # the images can be looked at all the same
                journal = Journal(path, who.study_uid, error)
            try:
                book = self._books[path] = Book(journal.replay(), journal, Lease(path))
            except BaseException:
                journal.close()
                raise
        return book

    def opened(self, who: Identity) -> Book:
        """The same, to write in, with what another program has written meanwhile; the others are let go."""
        book = self.of(who)
        for other in self._books.values():
            if other is not book:
                other.end()
        book.begin()
        return book

    def close(self) -> None:
        """Close the journals."""
        for book in self._books.values():
            book.end()
            book.journal.close()
