"""Having the disk hold what was written, on a worker, while the reader goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from overread.domain.errors import UserError
from overread.session.journal import Journal


def test_workers_settle_while_the_reader_writes_and_looks_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "läser 1" / "study.db", "1.2")
    done, errors = threading.Event(), []

    def settle() -> None:
        while not done.is_set():
            try:
                journal.settle()
            except UserError as error:
                errors.append(error)

    workers = [threading.Thread(target=settle) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for number in range(150):
            journal.write("open", f"{number}", "Doe")
            assert journal.current
            journal.replay()
    finally:
        done.set()
        for worker in workers:
            worker.join()
        journal.close()
    assert errors == []


def test_a_journal_that_is_gone_is_said_and_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    journal = Journal(path, "1.2")
    journal.close()
    path.unlink()
    with pytest.raises(UserError, match="a power cut would lose them"):
        journal.settle()
    assert not path.exists()
