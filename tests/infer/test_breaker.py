"""A server that fails again and again is left alone, and asked anew after a pause that grows."""

from __future__ import annotations

import pytest

from overread.infer.backends.breaker import Breaker, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, pause_s=2.0, longest_s=10.0, clock=clock)


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.failed("slow")
        assert breaker.state is State.CLOSED
        assert breaker.why == ""
    breaker.failed("slow")
    assert breaker.state is State.OPEN
    assert breaker.why == "slow; asked again after a pause of 2 s"


def test_an_answer_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed("slow")
        breaker.failed("slow")
        breaker.succeeded()
    assert breaker.state is State.CLOSED


def test_one_caller_tries_after_the_pause_and_no_other(breaker: Breaker, clock: Clock) -> None:
    assert not breaker.probes()
    breaker.trip("gone")
    clock.now += 1.99
    assert not breaker.probes()
    clock.now += 0.01
    assert [breaker.probes(), breaker.probes()] == [True, False]
    assert breaker.state is State.HALF_OPEN
    assert breaker.why == "gone; asked again now"


def test_the_pause_doubles_up_to_the_longest_and_is_short_again_after_an_answer(breaker: Breaker, clock: Clock) -> None:
    breaker.trip("gone")
    pauses = []
    for _ in range(5):
        waited = 0
        while not breaker.probes():
            clock.now += 1
            waited += 1
        pauses.append(waited)
        breaker.trip("gone still")
    assert pauses == [2, 4, 8, 10, 10]
    clock.now += 10
    assert breaker.probes()
    breaker.mended()
    assert (breaker.state, breaker.why) == (State.CLOSED, "")
    breaker.trip("gone again")
    assert breaker.why == "gone again; asked again after a pause of 2 s"


def test_what_was_under_way_when_it_opened_neither_closes_it_nor_prolongs_the_pause(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.trip("gone")
    breaker.succeeded()
    breaker.failed("late")
    assert (breaker.state, breaker.why) == (State.OPEN, "gone; asked again after a pause of 2 s")
    clock.now += 2
    assert breaker.probes()
    breaker.failed("late")
    breaker.succeeded()
    assert breaker.state is State.HALF_OPEN
    breaker.mended()
    assert breaker.state is State.CLOSED
