"""Undo: every step is a name and the whole value after it. Nothing to invert, so nothing inverted wrongly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Step(Generic[T]):
    """What was done, and what came of it."""

    label: str
    value: T


class History(Generic[T]):
    """A line of steps with a place on it. Oldest steps fall off when they cost more than `budget` bytes together.

    `parts` names what a value holds, with its bytes; what several values share counts once. The last step can always
    be taken back.
    """

    def __init__(self, start: T, parts: Callable[[T], Mapping[str, int]], budget: int = 512 << 20) -> None:
        self._steps: list[Step[T]] = []
        self._at = 0
        self._parts, self._budget = parts, budget
        self._held: Counter[str] = Counter()
        self._bytes = 0
        self._hold(Step("", start))

    @property
    def value(self) -> T:
        """The value now."""
        return self._steps[self._at].value

    @property
    def undo_label(self) -> str:
        """What undo would take back; "" where there is nothing."""
        return self._steps[self._at].label if self._at > 0 else ""

    @property
    def redo_label(self) -> str:
        """What redo would do again; "" where there is nothing."""
        return self._steps[self._at + 1].label if self._at + 1 < len(self._steps) else ""

    def push(self, label: str, value: T) -> None:
        """Add a step; what had been undone is gone."""
        while len(self._steps) > self._at + 1:
            self._forget(-1)
        self._hold(Step(label, value))
        self._at += 1
        while self._at > 1 and self._bytes > self._budget:
            self._forget(0)
            self._at -= 1

    def amend(self, change: Callable[[T], T]) -> None:
        """Change every value alike, without a step: what came to be known of all of them. Their parts stay the same."""
        self._steps = [Step(step.label, change(step.value)) for step in self._steps]

    def undo(self) -> bool:
        """Go a step back, if there is one."""
        if self._at == 0:
            return False
        self._at -= 1
        return True

    def redo(self) -> bool:
        """Go a step forward, if there is one."""
        if self._at + 1 == len(self._steps):
            return False
        self._at += 1
        return True

    def _hold(self, step: Step[T]) -> None:
        self._steps.append(step)
        for part, size in self._parts(step.value).items():
            self._bytes += 0 if self._held[part] else size
            self._held[part] += 1

    def _forget(self, place: int) -> None:
        for part, size in self._parts(self._steps.pop(place).value).items():
            self._held[part] -= 1
            if not self._held[part]:
                del self._held[part]
                self._bytes -= size
