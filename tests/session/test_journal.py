"""The journal: every finished step is there, whatever happens to the process, the file, the disk or the next window."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Findings, Mask
from overread.session.books import Book, Books
from overread.session.history import History
from overread.session.journal import Journal
from overread.session.lease import Lease
from support.sitting import box_mask, finding_of, stack_of

STACK = stack_of()
SHAPE = STACK.grid.shape


def some(number: int, size: int = 1, **changes: Any) -> Finding:
    mask = changes.pop("mask", box_mask(SHAPE, (1, 1, 1), (size, 2, number % 20 + 1)))
    return finding_of(STACK, mask, number=number, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "a.sqlite"


@pytest.fixture
def open_book(path: Path) -> Iterator[Callable[..., Book]]:
    """Open the journal at `path` once more, as another process would."""
    opened: list[Journal] = []

    def book(at: Path = path) -> Book:
        opened.append(Journal(at, "1.2.3"))
        return Book(opened[-1].replay(), opened[-1], Lease(at))

    yield book
    for journal in opened:
        journal.close()


def line(history: History[Findings]) -> list[tuple[str, Findings]]:
    """All steps that undo leads back through, and then those that redo leads on to."""
    while history.redo():
        pass
    steps = [(history.undo_label, history.value)]
    while history.undo():
        steps.append((history.undo_label, history.value))
    return steps


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(st.lists(st.integers(1, 6), unique=True, max_size=4), st.sampled_from(["undo", "redo"])), max_size=12
    )
)
def test_replay_is_the_state_before_wherever_the_process_died(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder / "a.sqlite", "1.2.3")
    book = Book(journal.replay(), journal, Lease(journal.path))
    states = [book.findings]
    for number, step in enumerate(steps):
        if isinstance(step, str):
            book.travel(step, "Doe")
        else:
            made = tuple(some(n, reason=str(number) if n % 2 else "") for n in step)
            book.edit(f"step {number}", made, "Doe", "")
        states.append(book.findings)
    # The disk as it is while the process lives.
    (folder / "dead").mkdir()
    for file in folder.glob("a.sqlite*"):
        shutil.copy(file, folder / "dead" / file.name)
    journal.close()
    whole = Journal(folder / "dead" / "a.sqlite", "1.2.3")
    assert whole.broken() is None
    history = whole.replay()
    assert history.value == states[-1]
    assert (history.undo_label, history.redo_label) == (book.history.undo_label, book.history.redo_label)
    assert line(history) == line(book.history)
    whole.close()


def test_killed_between_two_steps(tmp_path: Path) -> None:
    script = """
import sys
from overread.session.books import Book
from overread.session.journal import Journal
from overread.session.lease import Lease
from session.test_journal import some
from pathlib import Path
journal = Journal(Path(sys.argv[1]), "1.2.3")
book = Book(journal.replay(), journal, Lease(journal.path))
for number in range(100000):
    book.edit(f"step {number}", (*book.findings[-3:], some(number, size=3)), "Doe", "")
    print(number, flush=True)
"""
    path = tmp_path / "a.sqlite"
    here = [str(Path(__file__).parents[1]), *sys.path]
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(here)},
    )
    assert child.stdout is not None
    for _ in range(20):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    said = [int(number) for number in child.stdout.read().split()]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    journal = Journal(path, "1.2.3")
    last = list(journal.entries())[-1]
    assert int(last.label.split()[1]) - (said[-1] if said else 19) in (0, 1)
    assert journal.broken() is None
    assert journal.replay().value[-1].number == int(last.label.split()[1])
    journal.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Findings]]:
    """A journal at rest, and its states from the first to the last."""
    path = tmp_path_factory.mktemp("written") / "a.sqlite"
    journal = Journal(path, "1.2.3")
    book = Book(journal.replay(), journal, Lease(journal.path))
    states = [book.findings]
    for number in range(1, 13):
        book.edit(f"step {number}", (*book.findings[-2:], some(number, size=2)), "Doe", "")
        states.append(book.findings)
    journal.close()
    return path, states


def judge(path: Path, states: list[Findings]) -> None:
    """A damaged journal is refused, says where it was changed, or holds what had been reached before."""
    try:
        journal = Journal(path, "1.2.3")
    except UserError:
        return
    try:
        found = journal.replay().value
        assert found in states or journal.broken() is not None
    except UserError:
        pass
    finally:
        journal.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255), cut=st.booleans())
def test_a_torn_or_changed_file_is_never_taken_for_whole(
    written: tuple[Path, list[Findings]],
    tmp_path_factory: pytest.TempPathFactory,
    at: float,
    value: int,
    cut: bool,
) -> None:
    path, states = written
    content = bytearray(path.read_bytes())
    place = int(at * len(content))
    if cut:
        del content[place:]
    else:
        content[place] ^= value
    torn = tmp_path_factory.mktemp("torn") / "a.sqlite"
    torn.write_bytes(content)
    judge(torn, states)


def test_a_torn_log_holds_every_step_before_the_tear(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    journal = Journal(path, "1.2.3")
    book = Book(journal.replay(), journal, Lease(journal.path))
    states = [book.findings]
    for number in range(1, 6):
        book.edit(f"step {number}", (*book.findings, some(number)), "Doe", "")
        states.append(book.findings)
    main, log = path.read_bytes(), path.with_name("a.sqlite-wal").read_bytes()
    journal.close()
    reached = []
    for cut in range(log.find(b"step 1"), len(log), 1000):
        path.write_bytes(main)
        path.with_name("a.sqlite-wal").write_bytes(log[:cut])
        again = Journal(path, "1.2.3")
        assert again.broken() is None
        reached.append(states.index(again.replay().value))
        again.close()
    assert reached == sorted(reached)
    assert set(reached) == set(range(6)) - {5}, "a later tear keeps more, and every step is whole on its own"


def make(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE places (name TEXT)", "INSERT INTO places VALUES ('x')"],
        ["CREATE TABLE entries (number INTEGER PRIMARY KEY, what TEXT)"],
        ["CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT)"],
        ["CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT)", "INSERT INTO study VALUES ('schema', 'two')"],
    ],
)
def test_a_foreign_database_is_refused_and_left_alone(path: Path, statements: list[str]) -> None:
    make(path, *statements)
    before = path.read_bytes()
    with pytest.raises(UserError, match="damaged"):
        Journal(path, "1.2.3")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one" * 20, b"\0" * 4096])
def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        Journal(path, "1.2.3")
    assert path.read_bytes() == content


def test_an_empty_file_is_a_new_journal(path: Path, open_book: Callable[..., Book]) -> None:
    path.parent.mkdir()
    path.touch()
    open_book().edit("one", (some(1),), "Doe", "")
    assert open_book().findings == open_book().findings != ()


def test_the_journal_of_a_newer_version_is_not_touched(path: Path, open_book: Callable[..., Book]) -> None:
    open_book().edit("one", (some(1),), "Doe", "")
    make(path, "UPDATE study SET value = '2' WHERE key = 'schema'")
    with pytest.raises(UserError, match="newer"):
        Journal(path, "1.2.3")


def test_another_studys_journal_is_refused(path: Path, open_book: Callable[..., Book]) -> None:
    open_book().edit("one", (some(1),), "Doe", "")
    with pytest.raises(UserError, match="damaged"):
        Journal(path, "1.2.4")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        Journal(tmp_path / "journals" / "a.sqlite", "1.2.3")


def test_a_changed_line_shows(path: Path, open_book: Callable[..., Book]) -> None:
    book = open_book()
    for number in range(1, 5):
        book.edit(f"step {number}", (some(number),), "Doe", "")
    make(path, "UPDATE entries SET reader = 'Roe' WHERE number = 2")
    assert book.journal.broken() == 2
    make(path, "UPDATE entries SET reader = 'Doe' WHERE number = 2", "DELETE FROM entries WHERE number = 3")
    assert book.journal.broken() == 4


@pytest.mark.parametrize(
    ("trouble", "relief", "said"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 100000", "full"),
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "cannot be written"),
    ],
)
def test_a_step_that_cannot_be_written_does_not_happen(
    open_book: Callable[..., Book], trouble: str, relief: str, said: str
) -> None:
    book = open_book()
    book.edit("one", (some(1),), "Doe", "")
    before = book.findings
    book.journal._db.execute(trouble)
    noise = np.random.default_rng(1).random((6, 200, 200)) < 0.5
    with pytest.raises(UserError, match=said):
        book.edit("two", (*before, some(2, mask=Mask.of(noise))), "Doe", "")
    with pytest.raises(UserError, match=said):
        book.edit("two", tuple(some(n, label="x" * 300) for n in range(50)), "Doe", "")
    assert book.findings == before
    assert book.history.undo_label == "one"
    book.journal._db.execute(relief)
    book.edit("three", (*before, some(3)), "Doe", "")
    again = open_book()
    assert again.journal.broken() is None
    assert [entry.label for entry in again.journal.entries()] == ["one", "three"]
    assert again.findings == book.findings


def test_a_program_that_holds_the_file(path: Path, open_book: Callable[..., Book]) -> None:
    book = open_book()
    book.journal._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="held by another program"):
        book.edit("one", (some(1),), "Doe", "")
    assert book.findings == ()
    other.execute("ROLLBACK")
    other.close()
    book.edit("one", (some(1),), "Doe", "")
    assert open_book().findings == book.findings


def test_two_windows_on_one_study(open_book: Callable[..., Book]) -> None:
    one, other = open_book(), open_book()
    one.edit("one", (some(1),), "Doe", "")
    for step in (lambda: other.edit("two", (some(2),), "Roe", ""), lambda: other.journal.write("undo", "one", "Roe")):
        with pytest.raises(UserError, match="another window"):
            step()
    assert other.findings == ()
    # An export is told in the journal all the same, and hides nothing of the other window's work.
    other.journal.write("export", "a.dcm", "Roe")
    with pytest.raises(UserError, match="another window"):
        other.edit("two", (some(2),), "Roe", "")
    one.edit("three", (some(1), some(3)), "Doe", "")
    third = open_book()
    assert [entry.label for entry in third.journal.entries()] == ["one", "a.dcm", "three"]
    assert third.journal.broken() is None
    assert third.findings == one.findings


def test_a_study_opened_again_shows_what_the_other_window_did(tmp_path: Path) -> None:
    one, other = Books(tmp_path), Books(tmp_path)
    who = STACK.identity
    assert other.opened(who).findings == ()
    other.of(who).end()
    one.of(who).edit("one", (some(1),), "Doe", "")
    one.of(who).edit("two", (), "Doe", "")
    one.of(who).travel("undo", "Doe")
    book = other.opened(who)
    assert book.findings == one.of(who).findings
    assert (book.history.undo_label, book.history.redo_label) == ("one", "two")
    one.of(who).end()
    book.edit("three", (*book.findings, some(2)), "Roe", "")
    assert one.opened(who).findings == book.findings
    one.close()
    other.close()


def test_versions_share_their_masks_after_replay_too(open_book: Callable[..., Book]) -> None:
    book = open_book()
    first = some(1)
    book.edit("one", (first,), "Doe", "")
    for number in range(2, 6):
        drawn = box_mask(SHAPE, (1, 1, 1), (1, 2, number))
        book.edit("Brush", (replace(first, mask=drawn, original=first.mask),), "Doe", "")
    history = open_book().history
    originals = []
    while history.value:
        originals.append(history.value[0].original or history.value[0].mask)
        history.undo()
    assert len(originals) == 5
    assert len({id(mask) for mask in originals}) == 1


def test_who_what_when_with_which_model(open_book: Callable[..., Book]) -> None:
    book = open_book()
    book.edit("Bright read FLAIR", (some(1),), "Doe", "bright 1")
    book.travel("undo", "Roe")
    book.journal.write("export", "a.dcm", "Doe")
    entries = list(book.journal.entries())
    told = [(e.number, e.reader, e.verb, e.label, e.model) for e in entries]
    assert told == [
        (1, "Doe", "edit", "Bright read FLAIR", "bright 1"),
        (2, "Roe", "undo", "Bright read FLAIR", ""),
        (3, "Doe", "export", "a.dcm", ""),
    ]
    times = [datetime.fromisoformat(entry.at) for entry in entries]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)
    assert book.travel("undo", "Doe") == "", "nothing to undo is no entry"
    assert len(list(book.journal.entries())) == 3
