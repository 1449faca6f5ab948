"""What a benchmark says, and how it measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_AT_LEAST = ("ratio", "rate")


@dataclass(frozen=True)
class Row:
    """One measured figure. `ratio` is the peer's median over ours; `limit` the figure to hold, on what `on` names.

    "ratio" and "rate", the median of a unit of which more is better, are to be at least that, all others at most.
    Without values nothing was measured, and `conditions` says why.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    conditions: str
    peer: str = ""
    peer_values: tuple[float, ...] = ()
    limit: float | None = None
    on: str = "p95"

    @property
    def p50(self) -> float:
        """The median."""
        return float(np.percentile(self.values, 50)) if self.values else math.nan

    @property
    def p95(self) -> float:
        """What 95 of 100 stay below."""
        return float(np.percentile(self.values, 95)) if self.values else math.nan

    @property
    def longest(self) -> float:
        """The greatest of all."""
        return max(self.values, default=math.nan)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer."""
        return float(np.percentile(self.peer_values, 50)) / self.p50 if self.peer_values else None

    @property
    def passed(self) -> bool | None:
        """Whether the figure is held; None where there is none to hold."""
        if self.limit is None or not self.values:
            return None
        figures = {"p50": self.p50, "p95": self.p95, "max": self.longest, "ratio": self.ratio or 0.0, "rate": self.p50}
        return figures[self.on] >= self.limit if self.on in _AT_LEAST else figures[self.on] <= self.limit

    def answer(self) -> dict[str, Any]:
        """The row as `overread bench --json` gives it."""
        peer = round(float(np.percentile(self.peer_values, 50)), 3) if self.peer_values else None
        return {
            "name": self.name,
            "unit": self.unit,
            "p50": round(self.p50, 3),
            "p95": round(self.p95, 3),
            "max": round(self.longest, 3),
            "n": len(self.values),
            "peer": self.peer or None,
            "peer_p50": peer,
            "ratio": None if self.ratio is None else round(self.ratio, 2),
            "limit": None if self.limit is None else f"{self.on} {'≥' if self.on in _AT_LEAST else '≤'} {self.limit:g}",
            "pass": self.passed,
            "conditions": self.conditions,
        }


def alternately(
    ours: Callable[[], object], peer: Callable[[], object], count: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Time both in turn, so that a machine that slows down slows both; milliseconds. Each is warmed up once."""
    ours()
    peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for kept, work in zip(times, (ours, peer), strict=True):
            started = time.perf_counter()
            work()
            kept.append((time.perf_counter() - started) * 1000)
    return tuple(times[0]), tuple(times[1])


def milliseconds(work: Callable[[int], object], count: int) -> tuple[float, ...]:
    """Time `work(n)` for n = 0, 1, …; milliseconds."""
    taken: list[float] = []
    for n in range(count):
        started = time.perf_counter()
        work(n)
        taken.append((time.perf_counter() - started) * 1000)
    return tuple(taken)


def table(rows: Sequence[Row]) -> list[str]:
    """The rows for people."""
    lines = []
    for row in rows:
        if not row.values:
            lines += [f"{row.name}: not measured", f"    {row.conditions}"]
            continue
        answer = row.answer()
        peer = f" · {row.peer} {answer['peer_p50']} ({answer['ratio']}×)" if row.peer else ""
        held = "" if row.passed is None else f" · {'holds' if row.passed else 'MISSES'} {answer['limit']}"
        lines.append(
            f"{row.name}: p50 {answer['p50']}, p95 {answer['p95']}, max {answer['max']} {row.unit}"
            f" (n {answer['n']}){peer}{held}"
        )
        lines.append(f"    {row.conditions}")
    return lines
