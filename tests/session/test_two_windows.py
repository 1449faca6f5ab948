"""Two windows on one study: the first writes, the second says that it cannot; and what clocks do to the journal."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Mask
from overread.session import journal as journal_module
from overread.session import review
from overread.session.books import Books
from overread.session.lease import Lease
from overread.session.session import Session
from support.series import head_like, write_series
from support.sitting import Sitting, box_mask, detectors, finding_of, stack_of

STACK = stack_of()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_series(tmp_path / "study", head_like((6, 64, 64)), spacing=(3.0, 3.0), step=6.0)
    return tmp_path / "study"


def draw(session: Session, size: int) -> bool:
    image = session.image
    assert image is not None
    mask = box_mask(image.stack.grid.shape, (1, 4, 4), (1, size, size))
    label, findings, _ = review.draw_new(session.findings, mask, image.stack, session.reader)
    return session.edit(label, findings)


def test_the_second_window_reads_and_says_so(study: Path, sit: Callable[..., Sitting]) -> None:
    first, second = sit(), sit()
    told: list[bool] = []
    second.session.access_changed.connect(lambda: told.append(second.session.closed is not None))
    first.open(study)
    assert draw(first.session, 3)
    second.open(study)
    assert first.session.closed is None
    assert second.session.closed
    assert second.session.findings == first.session.findings
    before = second.session.findings
    for step in (lambda: draw(second.session, 5), second.session.undo):
        assert not step()
        assert isinstance(second.errors[-1], UserError)
        assert str(second.errors[-1]).startswith("This study is open in another window, so that it is read-only here")
    assert second.session.findings == before
    assert told == []
    first.session.close()
    assert draw(second.session, 5)
    assert told == [False]
    assert len(second.session.findings) == 2


def test_what_the_first_window_did_meanwhile_is_not_overwritten(study: Path, sit: Callable[..., Sitting]) -> None:
    first, second = sit(), sit()
    first.open(study)
    second.open(study)
    assert draw(first.session, 3)
    first.session.close()
    assert not draw(second.session, 5)
    assert "has written meanwhile" in str(second.errors[-1])
    second.open(study)
    assert len(second.session.findings) == 1
    assert draw(second.session, 5)


def test_a_window_that_went_on_to_another_study_lets_go(
    study: Path, tmp_path: Path, sit: Callable[..., Sitting]
) -> None:
    write_series(tmp_path / "other", head_like((6, 64, 64)), spacing=(3.0, 3.0), step=6.0, StudyInstanceUID="1.2.9")
    first, second = sit(), sit()
    first.open(study)
    second.open(study)
    assert second.session.closed
    first.open(tmp_path / "other")
    assert draw(second.session, 3)
    assert second.session.closed is None


def test_models_propose_nothing_where_nothing_can_be_kept(
    study: Path, sit: Callable[..., Sitting], models: Path
) -> None:
    first, second = sit(), sit(detectors(models))
    first.open(study)
    second.open(study)
    assert second.session.findings == ()
    assert second.errors == []


def test_a_window_that_died_holds_nothing(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from overread.session.lease import Lease
lease = Lease(Path(sys.argv[1]))
print(lease.take(), flush=True)
time.sleep(60)
"""
    at = tmp_path / "a.sqlite"
    child = subprocess.Popen([sys.executable, "-c", script, str(at)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    lease = Lease(at)
    assert not lease.take()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert lease.take()
    assert lease.held
    lease.release()
    assert not lease.held


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """By how much the journal's clock is off, in its one element."""
    off = [timedelta()]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            then = datetime(2026, 3, 1, 12, tzinfo=UTC) + off[0]
            return cls(then.year, then.month, then.day, then.hour, then.minute, then.second, tzinfo=UTC)

    monkeypatch.setattr(journal_module, "datetime", Clock)
    return off


def test_a_clock_that_goes_backwards_is_told_and_loses_nothing(tmp_path: Path, clock: list[timedelta]) -> None:
    books = Books(tmp_path)
    book = books.opened(STACK.identity)
    for number, off in enumerate((0, 60, -11460, -11400, 100), start=1):
        clock[0] = timedelta(seconds=off)
        mask: Mask = box_mask(STACK.grid.shape, (1, 1, 1), (1, 2, number))
        book.edit(f"step {number}", (finding_of(STACK, mask, number=number),), "Doe", "")
        said = book.clock_went_back
        assert (said is not None) == (number == 3)
        if said is not None:
            assert said.title == "This machine's clock stands 3 h 12 min before the step that was saved last."
        assert book.clock_went_back is None
    entries = list(book.journal.entries())
    assert [entry.label for entry in entries] == [f"step {number}" for number in range(1, 6)]
    assert list(journal_module.set_back(entries)) == [(3, timedelta(hours=3, minutes=12))]
    assert book.journal.broken() is None
    findings = book.findings
    books.close()
    again = Books(tmp_path)
    assert again.opened(STACK.identity).findings == findings
    again.close()


def test_spans_of_time_in_words() -> None:
    said = [journal_module.in_words(timedelta(seconds=s)) for s in (2, 61, 3600, 90061)]
    assert said == ["2 s", "1 min 1 s", "1 h", "1 d 1 h"]
