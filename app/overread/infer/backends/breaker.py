"""A circuit breaker: a server that fails again and again is left alone, and asked anew after a pause that grows.

M. T. Nygard, Release It!, second edition, 2018, chapter 5: closed → open → half-open → closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum


class State(Enum):
    """Whether requests go through."""

    CLOSED = "answers"
    OPEN = "left alone"
    HALF_OPEN = "asked again"


class Breaker:
    """Counts failures in a row. Safe to use from several threads; `clock` gives seconds that never go back."""

    def __init__(
        self,
        failures: int = 3,
        pause_s: float = 1.0,
        longest_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._first_s, self._longest_s, self._clock = failures, pause_s, longest_s, clock
        self._lock = threading.Lock()
        self._state, self._failures, self._pause_s, self._until = State.CLOSED, 0, pause_s, 0.0
        self._why = ""

    @property
    def state(self) -> State:
        """Whether requests go through now."""
        with self._lock:
            return self._state

    @property
    def reason(self) -> str:
        """What went wrong last."""
        with self._lock:
            return self._why

    @property
    def why(self) -> str:
        """What went wrong last, and that there will be another try; "" while requests go through."""
        with self._lock:
            if self._state is State.CLOSED:
                return ""
            pause = f"after a pause of {self._pause_s:g} s" if self._state is State.OPEN else "now"
            return f"{self._why}; asked again {pause}"

    def probes(self) -> bool:
        """Whether the caller is the one to try now: the pause of an open breaker is over, and nobody else tries."""
        with self._lock:
            if self._state is not State.OPEN or self._clock() < self._until:
                return False
            self._state = State.HALF_OPEN
            return True

    def succeeded(self) -> None:
        """A request was answered; one that was under way when the breaker opened does not close it."""
        with self._lock:
            if self._state is State.CLOSED:
                self._failures = 0

    def mended(self) -> None:
        """The try was answered: requests go through again."""
        with self._lock:
            self._state, self._failures, self._pause_s = State.CLOSED, 0, self._first_s

    def failed(self, why: str) -> None:
        """A request was not answered in time; one that was under way when the breaker opened does not count."""
        with self._lock:
            if self._state is State.CLOSED:
                self._failures += 1
                if self._failures >= self._most:
                    self._open(why)

    def trip(self, why: str) -> None:
        """Open at once; where that was the try, the pause is twice as long as the last one."""
        with self._lock:
            if self._state is State.HALF_OPEN:
                self._pause_s = min(2 * self._pause_s, self._longest_s)
            self._open(why)

    def _open(self, why: str) -> None:
        self._state, self._why, self._until = State.OPEN, why, self._clock() + self._pause_s
