"""Jobs: results, ends and errors come home in order, on the main thread; what was called off never does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from overread.domain.errors import Cancelled, UserError
from overread.session.jobs import Inline, Job, Jobs


class Home:
    """The main thread's letter box, real workers behind it."""

    def __init__(self, workers: int = 4) -> None:
        self.box: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.failed: list[BaseException] = []
        self.seen: list[Any] = []
        self.jobs = Jobs(self.box.put, ThreadPoolExecutor(workers, "test-jobs"), self.failed.append)

    def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.box.get(timeout=30)()

    def rest(self) -> None:
        while not self.box.empty():
            self.box.get()()


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.jobs.close()


def count(job: Job, to: int) -> Generator[int, None, None]:
    for number in range(to):
        job.progress(number / to)
        yield number


def test_values_come_in_order_on_the_main_thread_then_the_end(home: Home) -> None:
    threads = set()

    def on_each(name: str, value: int) -> None:
        threads.add(threading.current_thread())
        home.seen.append((name, value))

    for name in "abc":
        home.jobs.stream(name, partial(count, to=20), partial(on_each, name), partial(home.seen.append, (name, "end")))
    assert [job.label for job in home.jobs.running] == ["a", "b", "c"]
    home.until(lambda: not home.jobs.running)
    for name in "abc":
        assert [value for n, value in home.seen if n == name] == [*range(20), "end"]
    assert threads == {threading.main_thread()}
    assert home.failed == []


def test_an_exception_in_a_worker_arrives_as_it_is_with_its_frames(home: Home) -> None:
    def work(job: Job) -> Generator[int, None, None]:
        yield 1
        raise ZeroDivisionError("in the worker")

    home.jobs.stream("a", work, home.seen.append, lambda: home.seen.append("end"))
    home.until(lambda: bool(home.failed))
    (error,) = home.failed
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is not None
    frames = []
    at = error.__traceback__
    while at is not None:
        frames.append(at.tb_frame.f_code.co_name)
        at = at.tb_next
    assert frames[-1] == "work"
    assert home.seen == [1], "what came before the fault stays; there is no end"
    assert home.jobs.running == ()


def test_who_wants_the_error_gets_it_alone(home: Home) -> None:
    def work(job: Job) -> int:
        raise UserError("No.", "Later.")

    home.jobs.call("a", work, home.seen.append, home.seen.append)
    home.until(lambda: bool(home.seen))
    assert isinstance(home.seen[0], UserError)
    assert home.failed == []


def test_a_fault_on_arrival_is_told_and_the_rest_still_arrives(home: Home) -> None:
    def on_each(value: int) -> None:
        home.seen.append(value)
        if value == 1:
            raise KeyError(value)

    def on_done() -> None:
        home.seen.append("end")
        raise LookupError

    home.jobs.stream("a", partial(count, to=3), on_each, on_done)
    home.until(lambda: not home.jobs.running)
    assert home.seen == [0, 1, 2, "end"]
    assert [type(error) for error in home.failed] == [KeyError, LookupError]


def test_the_same_without_threads() -> None:
    failed: list[BaseException] = []
    seen: list[Any] = []

    def trip(value: Any) -> None:
        seen.append(value)
        raise KeyError(value)

    jobs = Jobs(lambda action: action(), Inline(), failed.append)
    jobs.stream("a", partial(count, to=2), trip, lambda: trip("end"))
    jobs.call("b", lambda job: 1 // 0, seen.append)
    jobs.call("c", lambda job: job.label, seen.append)
    assert seen == [0, 1, "end", "c"]
    assert [type(error) for error in failed] == [KeyError, KeyError, KeyError, ZeroDivisionError]
    assert jobs.running == ()
    jobs.close()


def test_what_was_called_off_never_arrives_not_even_what_was_on_its_way(home: Home) -> None:
    closed = threading.Event()
    far = threading.Event()

    def endless(job: Job) -> Generator[int, None, None]:
        try:
            while True:
                far.set()
                yield 1
        finally:
            closed.set()

    job = home.jobs.stream("a", endless, home.seen.append)
    assert far.wait(30)
    home.until(lambda: bool(home.seen))
    job.cancel.cancel()
    arrived = len(home.seen)
    assert closed.wait(30), "the generator is closed, and what it holds let go"
    home.rest()
    assert len(home.seen) == arrived
    assert home.jobs.running == ()
    assert home.failed == []


def test_what_was_called_off_before_its_turn_never_begins() -> None:
    home = Home(workers=1)
    go = threading.Event()
    begun: list[str] = []
    home.jobs.call("first", lambda job: go.wait(30), home.seen.append)
    stale = [home.jobs.call(f"stale {n}", lambda job: begun.append(job.label), home.seen.append) for n in range(5)]
    for job in stale:
        job.cancel.cancel()
    home.jobs.call("last", lambda job: begun.append(job.label), home.seen.append)
    go.set()
    home.until(lambda: not home.jobs.running)
    assert begun == ["last"]
    assert home.seen == [True, None]
    home.jobs.close()


def test_progress_calls_off_from_within(home: Home) -> None:
    ready, go = threading.Event(), threading.Event()

    def work(job: Job) -> int:
        job.progress(0.5)
        ready.set()
        go.wait(30)
        job.progress(0.6)
        return 1

    job = home.jobs.call("a", work, home.seen.append)
    assert ready.wait(30)
    assert job.fraction == 0.5
    job.cancel.cancel()
    go.set()
    home.jobs.call("b", lambda job: "b", home.seen.append)
    home.until(lambda: bool(home.seen))
    home.rest()
    assert home.seen == ["b"]
    with pytest.raises(Cancelled):
        job.progress(0.7)


def test_a_quiet_job_is_not_told_of(home: Home) -> None:
    home.jobs.call("Saving", lambda job: 1, home.seen.append, quiet=True)
    assert home.jobs.running == ()
    home.until(lambda: home.seen == [1])


def test_the_end_waits_for_the_workers_and_nothing_comes_after_it() -> None:
    home = Home(workers=2)
    begun, ended = threading.Barrier(3), []

    def work(job: Job) -> int:
        begun.wait(30)
        cancelled = threading.Event()
        job.cancel.on_cancel(cancelled.set)
        cancelled.wait(30)
        ended.append(job.label)
        return 1

    for name in "abcd":
        home.jobs.call(name, work, home.seen.append)
    begun.wait(30)
    home.jobs.close()
    assert sorted(ended) == ["a", "b"], "those at work are waited for, those in the queue never begin"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-jobs")]
    home.rest()
    assert home.seen == []
