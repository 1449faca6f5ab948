"""Undo: every step is a name and the whole value after it. Nothing to invert, so nothing inverted wrongly."""

from __future__ import annotations

from collections.abc import Callable
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

    `cost` tells the bytes of a set of values, counting what they share once.
    """

    def __init__(self, start: T, cost: Callable[[list[T]], int], budget: int = 512 << 20) -> None:
        self._steps = [Step("", start)]
        self._at = 0
        self._cost, self._budget = cost, budget

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
        self._steps[self._at + 1 :] = [Step(label, value)]
        self._at += 1
        while self._at > 1 and self._cost([step.value for step in self._steps]) > self._budget:
            del self._steps[0]
            self._at -= 1

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
