"""`overread bench`: how fast it is here, against named peers in the same run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from overread.commands.answers import emit, say
from overread.commands.benchmarks.explain import explain
from overread.commands.benchmarks.loading import first_slice, series_load
from overread.commands.benchmarks.model import slice_model
from overread.commands.benchmarks.overlay import cancel, slice_e2e
from overread.commands.benchmarks.remote import remote
from overread.commands.benchmarks.rows import Row, table
from overread.commands.benchmarks.volume import volume
from overread.commands.benchmarks.window import cold_start, scroll, scroll_overlay, stroke, ui_stall
from overread.commands.machine import described

BENCHMARKS: dict[str, Callable[[Path], list[Row]]] = {
    "series-load": series_load,
    "first-slice": first_slice,
    "slice-e2e": slice_e2e,
    "slice-model": slice_model,
    "explain": explain,
    "cancel": cancel,
    "scroll": scroll,
    "scroll-overlay": scroll_overlay,
    "stroke": stroke,
    "ui-stall": ui_stall,
    "cold-start": cold_start,
    "remote": remote,
    "volume": volume,
}


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("name", nargs="*", help=f"which; all of {', '.join(BENCHMARKS)} by default")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    unknown = [name for name in arguments.name if name not in BENCHMARKS]
    if unknown:
        raise argparse.ArgumentError(None, f"There is no benchmark {unknown[0]}. There are {', '.join(BENCHMARKS)}.")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="overread-bench-") as scratch:
        for name in arguments.name or BENCHMARKS:
            rows.extend(BENCHMARKS[name](Path(scratch)))
    machine = described()
    if arguments.json:
        emit({"machine": machine, "rows": [row.answer() for row in rows]})
    else:
        say(f"{machine['cores']} cores, {machine['platform']}, {machine['engines']}", *table(rows))
    return 0
