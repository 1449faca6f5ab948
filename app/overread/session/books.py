"""The findings of each study that was opened in this sitting, with the way they came about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from overread.domain.finding import Findings
from overread.domain.study import Identity
from overread.session.history import History
from overread.session.journal import Journal, journal_path


@dataclass(eq=False)
class Book:
    """One study's findings. Every step goes into the journal first; UserError where that fails, and nothing happens."""

    history: History[Findings]
    journal: Journal
    saved: datetime | None = None

    @property
    def findings(self) -> Findings:
        """The findings now."""
        return self.history.value

    def edit(self, label: str, findings: Findings, reader: str, model: str) -> None:
        """Make one named step."""
        self.journal.write("edit", label, reader, self.findings, findings, model)
        self.history.push(label, findings)
        self.saved = datetime.now()

    def travel(self, verb: str, reader: str) -> str:
        """Undo or redo one step; returns its name, "" where there is none."""
        label = self.history.undo_label if verb == "undo" else self.history.redo_label
        if label:
            self.journal.write(verb, label, reader)
            if verb == "undo":
                self.history.undo()
            else:
                self.history.redo()
            self.saved = datetime.now()
        return label


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
            journal = Journal(path, who.study_uid)
            try:
                book = self._books[path] = Book(journal.replay(), journal)
            except BaseException:
                journal.close()
                raise
        return book

    def opened(self, who: Identity) -> Book:
        """The same, with what another program has written meanwhile."""
        book = self.of(who)
        if not book.journal.current:
            book.history = book.journal.replay()
        return book

    def close(self) -> None:
        """Close the journals."""
        for book in self._books.values():
            book.journal.close()
