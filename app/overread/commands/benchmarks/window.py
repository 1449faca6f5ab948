"""What the reader feels: scrolling, and the longest moment in which the window does not answer."""

from __future__ import annotations

from pathlib import Path

from overread.commands.benchmarks.rows import Row
from overread.commands.benchmarks.series import write_series

_SLICES, _STEPS = 160, 150


def scroll(scratch: Path) -> list[Row]:
    """A step of the wheel until the slice is painted."""
    from overread.ui.stopwatch import scrolling  # Qt is not needed for the other benchmarks

    folder = scratch / "felt"
    if not folder.exists():
        write_series(folder, _SLICES)
    felt = scrolling(folder, scratch / "home", _STEPS)
    return [Row("scroll", "ms", felt.values, felt.conditions, "pyqtgraph ImageItem", felt.peer, limit=8.0)]


def ui_stall(scratch: Path) -> list[Row]:
    """The longest gap of the event loop while loading and reading."""
    from overread.ui.stopwatch import stalls  # as above

    folder = scratch / "felt"
    if not folder.exists():
        write_series(folder, _SLICES)
    felt = stalls(folder, scratch / "home-stall")
    return [Row("ui-stall", "ms", felt.values, felt.conditions, limit=50.0, on="max")]
