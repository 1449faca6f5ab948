"""What the reader feels: scrolling, waiting for an overlay, and the longest moment in which nothing answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from overread.commands.benchmarks.rows import Row
from overread.commands.benchmarks.series import FLAIR, series

_SLICES, _STEPS = 160, 150
_LONG, _PER_SECOND = 400, 30
_STARTS = 5
_MOVES, _STROKES, _BUDGET_MIB = 200, 100, 512.0


def scroll(scratch: Path) -> list[Row]:
    """A step of the wheel until the slice is painted."""
    from overread.ui.stopwatch import scrolling  # Qt is not needed for the other benchmarks

    felt = scrolling(series(scratch, FLAIR, _SLICES), scratch / "home", _STEPS)
    return [Row("scroll", "ms", felt.values, felt.conditions, "pyqtgraph ImageItem", felt.peer, limit=8.0)]


def ui_stall(scratch: Path) -> list[Row]:
    """The longest gap of the event loop while loading and reading."""
    from overread.ui.stopwatch import stalls  # as above

    felt = stalls(series(scratch, FLAIR, _SLICES), scratch / "home-stall")
    return [Row("ui-stall", "ms", felt.values, felt.conditions, limit=50.0, on="max")]


def scroll_overlay(scratch: Path) -> list[Row]:
    """Frames that were painted before their overlay was there, and how soon it comes when the wheel stops."""
    from overread.ui.stopwatch import overlays  # as above

    first, later, settled = overlays(series(scratch, FLAIR, _LONG), scratch / "home-overlay", _PER_SECOND)
    how = f"{_LONG} slices at {_PER_SECOND} a second"
    rows = [
        Row("scroll-overlay, first pass", "% without", first.values, f"{how}, {first.conditions}"),
        Row("scroll-overlay", "% without", later.values, f"{how}, once read, {later.conditions}", limit=5.0, on="max"),
    ]
    if settled.values:  # else everything was read before the first jump
        rows.append(Row("overlay-settle", "× model", settled.values, settled.conditions, limit=2.0))
    return rows


def cold_start(scratch: Path) -> list[Row]:
    """From the start of the process to the first overlay of a series that was open before."""
    folder, home = series(scratch, FLAIR, _SLICES), scratch / "home-cold"
    code = "import sys; from overread.ui.stopwatch import first_overlay; first_overlay(*sys.argv[1:])"
    times: list[float] = []
    # As installed: where Python may not keep its bytecode, each start would compile the program anew.
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(_STARTS + 1):  # the first one decides on the backend
        started = time.monotonic()
        command = [sys.executable, "-c", code, str(folder), str(home)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=compiled)
        times.append((float(said.stdout.split()[-1]) - started) * 1000)
    conditions = f"{_SLICES} × 512², files and bytecode warm; the very first start took {times[0]:.0f} ms"
    return [Row("cold-start", "ms", tuple(times[1:]), conditions, limit=1500.0)]


def stroke(scratch: Path) -> list[Row]:
    """A brush on a large study with ten findings: each move, the pen's lifting, when it is kept, what undoing holds."""
    from overread.ui.stopwatch import strokes  # as above

    moves, ends, kept, memory = strokes(series(scratch, FLAIR, _LONG), scratch / "home-stroke", _MOVES, _STROKES)
    return [
        Row("stroke", "ms", moves.values, moves.conditions, limit=16.0),
        Row("stroke-end", "ms", ends.values, ends.conditions, limit=50.0),
        Row("stroke-kept", "ms", kept.values, kept.conditions),
        Row("undo-memory", "MiB", memory.values, memory.conditions, limit=_BUDGET_MIB, on="max"),
    ]
