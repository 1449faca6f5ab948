"""A review that is killed at 200 random moments: at most the gesture in hand is lost, and nothing is ever damaged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Findings
from overread.session import review
from overread.session.books import Book, Books
from support.rights import shut
from support.sitting import DOE, box_mask, finding_of, stack_of

STACK = stack_of()
KILLS = 200

# Forks a review for each line it is given, a folder, and answers with its process; that tells in a file how far it is.
NURSERY = """
import os, sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from session.test_killed import STACK, reviewed
from overread.session.books import Books
print("ready", flush=True)
for line in sys.stdin:
    folder = Path(line.strip())
    child = os.fork()
    if child == 0:
        told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT)
        books = Books(folder)
        book = books.opened(STACK.identity)
        for step, _ in enumerate(reviewed(book), start=1):
            os.pwrite(told, step.to_bytes(4, "little"), 0)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def reviewed(book: Book) -> Iterator[Findings]:
    """One scripted review, a step at a time: models propose, a reader accepts, rejects, draws, undoes, restores."""
    shape = STACK.grid.shape

    def step(label: str, findings: Findings) -> Findings:
        book.edit(label, findings, DOE.name, "")
        return book.findings

    proposals = tuple(finding_of(STACK, box_mask(shape, (1, 1, n), (2, 2, 2)), number=n) for n in range(1, 7))
    yield step("Model read", proposals)
    for turn in range(24):
        one = book.findings[turn % len(book.findings)]
        match turn % 8:
            case 0:
                yield step(*review.accept(book.findings, [one.id], DOE))
            case 1:
                yield step(*review.reject(book.findings, [one.id], DOE, f"artefact {turn}"))
            case 2 | 6:
                mask = box_mask(shape, (1, 2, 1 + turn % 3), (1 + turn % 2, 2, 3 + turn % 4))
                yield step(*review.redraw(book.findings, one.id, mask, STACK, DOE, f"Brush {turn}"))
            case 3 | 7:
                book.travel("undo", DOE.name)
                yield book.findings
            case 4:
                book.travel("redo", DOE.name)
                yield book.findings
            case 5:
                label, findings, _ = review.draw_new(
                    book.findings, box_mask(shape, (2, 2, 2), (1, 1, 1 + turn % 5)), STACK, DOE
                )
                yield step(label, findings)


def said(findings: Findings) -> list[tuple[object, ...]]:
    """What a review without its times and the ids that follow from them comes to."""
    return [(f.number, f.label, f.mask, f.status, f.reason, f.original, [a.verb for a in f.acts]) for f in findings]


def reached_by(told: Path) -> int:
    """The step that a review said it has done."""
    return int.from_bytes(told.read_bytes(), "little") if told.exists() else 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork, so that 200 reviews would take too long")
def test_killed_at_any_moment(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    books = Books(tmp_path / "whole")
    states = [said(())]
    began = time.monotonic()
    states += [said(findings) for findings in reviewed(books.opened(STACK.identity))]
    lasted = time.monotonic() - began
    books.close()

    moments = random.Random(20261121)
    here = [str(Path(__file__).parents[1]), *sys.path]
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(here)},
    )
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    assert nursery.stdout.readline() == "ready\n"
    reached = []
    for number in range(KILLS):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        nursery.stdin.write(f"{folder}\n")
        nursery.stdin.flush()
        child = int(nursery.stdout.readline())
        # a step to wait for, however fast the machine, and then a moment anywhere in the next ones
        wanted, told = moments.randrange(-4, len(states)), folder / "told"
        until = time.monotonic() + 30
        while reached_by(told) < wanted and time.monotonic() < until:
            time.sleep(lasted / len(states) / 20)
        time.sleep(moments.random() * 2 * lasted / len(states))
        with suppress(ProcessLookupError):  # it was through with its script
            os.kill(child, signal.SIGKILL)
        nursery.stdout.readline()
        step = reached_by(told)
        books = Books(folder)
        book = books.opened(STACK.identity)
        assert book.closed is None
        left = said(book.findings)
        assert left in (states[step], states[min(step + 1, len(states) - 1)]), f"kill {number} after step {step}"
        assert book.journal.broken() is None
        (file,) = folder.glob("*.sqlite")
        with sqlite3.connect(file) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
        more = review.accept(book.findings, [f.id for f in book.findings], DOE)
        if book.findings:
            book.edit(more[0], more[1], DOE.name, "")
        books.close()
        reached.append(step)
    nursery.stdin.close()
    nursery.stdout.close()
    assert nursery.wait() == 0
    assert len(set(reached)) > 10, "the kills came at all sorts of moments"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no limit on the size of files")
def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from overread.domain.errors import UserError
from overread.session.books import Books
from session.test_killed import STACK, reviewed
books = Books(Path(sys.argv[1]))
book = books.opened(STACK.identity)
steps = reviewed(book)
for _ in range(9):
    next(steps)
print(9, flush=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
wal = Path(f"{book.journal.path}-wal")
resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 5000, resource.RLIM_INFINITY))
before = book.findings
try:
    for number, _ in enumerate(steps, start=10):
        print(number, flush=True)
        before = book.findings
except UserError as error:
    print(error, flush=True)
assert book.findings == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
book.edit("after", (), "Doe", "")
book.travel("undo", "Doe")
books.close()
"""
    here = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(here)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *steps, told = done.stdout.splitlines()
    assert 9 <= int(steps[-1]) < 25
    assert "nothing was changed" in told or "neither saved nor done" in told
    books = Books(tmp_path)
    book = books.opened(STACK.identity)
    whole = Books(tmp_path / "whole")
    states = [said(findings) for findings in reviewed(whole.opened(STACK.identity))]
    assert said(book.findings) == states[int(steps[-1]) - 1]
    assert book.journal.broken() is None
    books.close()
    whole.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="rights are not those of POSIX here")
def test_a_folder_that_turns_read_only(open_place: Path) -> None:
    folder = open_place / "journals"
    books = Books(folder)
    steps = reviewed(books.opened(STACK.identity))
    for _ in range(9):
        next(steps)
    left = said(books.of(STACK.identity).findings)
    books.close()
    shut(folder)
    books = Books(folder)
    book = books.opened(STACK.identity)
    assert said(book.findings) == left
    assert book.closed is not None
    with pytest.raises(UserError, match="cannot be written; nothing was changed"):
        book.edit("one more", (), "Doe", "")
    assert said(book.findings) == left
    another = books.opened(replace(STACK.identity, study_uid="1.2.9"))
    assert (another.findings, another.closed is not None) == ((), True)
    books.close()
