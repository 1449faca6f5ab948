"""Nets against each other under one recipe: how large, how costly, how fast and how good each is.

A net that was not trained is named as such; its size and its time need no training. What is compared is the net alone,
on the held-out part of one fold: each slice read once, at the threshold that is best on the validation part.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from models.training import networks
from models.training.counting import multiply_adds, parameters
from models.training.export import load
from models.training.measures import interval_by_patient
from models.training.recipe import Recipe
from models.training.report import Table
from models.training.task import Comparable, HeldOut, create
from models.training.train import Places
from models.training.variants import Timing, bare_graph, timed
from overread.domain.errors import UserError

COLUMNS = (
    "network",
    "parameters",
    "multiply-adds, G",
    "Dice (95 %)",
    "against the second row (95 %)",
    "held out",
    "threshold",
    "epochs",
    "ms a slice: median",
    "p95",
)
THREADS = 1


@dataclass(frozen=True)
class Entry:
    """One net: trained parameters, multiply-adds for one slice, epochs done and planned, and its worth if trained."""

    network: str
    parameters: int
    multiply_adds: int
    epochs: int
    planned: int
    held: HeldOut | None


def compare(recipe: Recipe, wanted: Sequence[str], data: Path, fold: int, runs: Path, turns: int = 40) -> str:
    """Measure the recipe's own net and those called ``wanted``; returns the Markdown that is also written.

    The first of ``wanted`` is what the others are held against: the recipe's own net may have gone a longer way.

    The weights are the best of runs/ID-FOLD and runs/ID-NETWORK-FOLD; the tables are runs/ID-compare-FOLD.md and .csv.
    Each net reads one slice of made-up noise for its time, ``turns`` times, all in turn.
    UserError for a net there is not, for weights that are another net's, and where the recipe's task has no masks.
    """
    unknown = [name for name in wanted if name not in networks.names()]
    if unknown:
        raise UserError(f"There is no net called {unknown[0]}.", f"Choose among {', '.join(networks.names())}.")
    busy = _busy()
    shape = shape_of(recipe.manifest)
    tensor = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory() as scratch:
        files: dict[str, Path] = {}
        for network in ("", *dict.fromkeys(wanted)):
            net, entry = measured(recipe, network, data, fold, runs)
            entries.append(entry)
            files[entry.network] = Path(scratch) / f"{len(files)}.onnx"
            bare_graph(net.cpu(), tensor, files[entry.network])
        times = timed(files, tensor, THREADS, turns)
    base = entries[min(1, len(entries) - 1)]
    table = Table(COLUMNS, tuple(_row(entry, base, times[entry.network]) for entry in entries))
    table.write(runs / f"{recipe.name}-compare-{fold}.csv")
    text = f"""\
# Nets under the recipe of {recipe.name}, fold {fold}

{table.markdown()}

{_notes(entries, recipe, shape, turns, busy)}
"""
    (runs / f"{recipe.name}-compare-{fold}.md").write_text(text, encoding="utf-8")
    return text


def shape_of(manifest: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """What the net reads for one slice: (1, channels, rows, columns)."""
    prepare = manifest["prepare"]
    colours = 3 if prepare.get("channels") == "rgb" else 1
    rows, columns = prepare["size"]
    return 1, colours * (2 * int(prepare.get("neighbours", 0)) + 1), int(rows), int(columns)


def measured(recipe: Recipe, network: str, data: Path, fold: int, runs: Path) -> tuple[nn.Module, Entry]:
    """One net, with its best weights where it has some, and what it is worth; "" is the recipe's own.

    UserError as `compare` says.
    """
    chosen = recipe.with_network(network) if network else recipe
    task = create(chosen, data, fold)
    if not isinstance(task, Comparable):
        raise UserError(
            f"The nets of {recipe.name} cannot be compared by their masks.", "Choose the recipe of a model that draws."
        )
    places = Places.of(recipe, fold, network, runs)
    net, held, epochs = task.network(), None, 0
    if places.best.exists():
        try:
            net = load(net, places.best)
        except RuntimeError as error:
            raise UserError(
                f"{places.best} does not hold the weights of {network or recipe.name}.", "Move it away or train anew."
            ) from error
        epochs = _epochs(places)
        held = task.held_out(net.to("cuda" if torch.cuda.is_available() else "cpu"))
    count = multiply_adds(net, shape_of(recipe.manifest))
    return net, Entry(network or recipe.name, parameters(net), count, epochs, chosen.epochs, held)


def _epochs(places: Places) -> int:
    """How many epochs a run has done, as far as it says so."""
    said = places.checkpoint if places.checkpoint.exists() else places.best
    return int(torch.load(said, map_location="cpu", weights_only=True, mmap=True)["epoch"]) + 1


def _row(entry: Entry, base: Entry, timing: Timing) -> tuple[str, ...]:
    cells = [entry.network, str(entry.parameters), f"{entry.multiply_adds / 1e9:.3f}"]
    if entry.held is None:
        cells += ["not trained", "", "", "", ""]
    else:
        held = entry.held
        low, high = _interval(held, held.dice)
        cells += [f"{held.dice.mean():.3f} ({low:.3f} to {high:.3f})", _against(held, base)]
        groups = len(set(held.groups))
        slices = f"{len(held.dice)} slices of " if len(held.dice) > groups else ""
        cells += [f"{slices}{groups} {held.kind}", f"{held.threshold:g}", f"{entry.epochs} of {entry.planned}"]
    return (*cells, f"{timing.median:.1f}", f"{timing.p95:.1f}")


def _against(held: HeldOut, base: Entry) -> str:
    """How much Dice is gained over another net: on the same people, so narrower than two intervals side by side."""
    if base.held is None or base.held is held:
        return ""
    gain = held.dice - base.held.dice
    low, high = _interval(held, gain)
    return f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def _interval(held: HeldOut, values: NDArray[np.float64]) -> tuple[float, float]:
    return interval_by_patient(lambda rows: float(values[rows].mean()), held.groups)


def _busy() -> str:
    """What else the machine did when the measuring began, where the system tells."""
    if not hasattr(os, "getloadavg"):
        return ""
    return f"; the machine's load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors when it began"


def _notes(entries: Sequence[Entry], recipe: Recipe, shape: Sequence[int], turns: int, busy: str) -> str:
    _, channels, rows, columns = shape
    lines = [
        "- Dice: of the net alone, on the held-out part, each slice read once, at the threshold that is best on the "
        "validation part. Intervals: bootstrap over patients or blocks. Against the second row: the difference on "
        "the same held-out part.",
        f"- Multiply-adds: of convolutions and matrix products, for one slice of {rows} × {columns} with {channels} "
        f"channel{'s' if channels > 1 else ''}.",
        f"- Time: one slice on the CPU, {THREADS} thread, ONNX Runtime {onnxruntime.__version__}, {turns} turns with "
        f"every net in each{busy}.",
    ]
    changed = [f"{key} = {value}" for key, value in recipe.compare.items()]
    if recipe.compare_phases:
        changed.append(f"{sum(phase.epochs for phase in recipe.compare_phases)} epochs in the place of {recipe.epochs}")
    if changed:
        lines.append(f"- {recipe.name} is the recipe's own net; the others were trained with {', '.join(changed)}.")
    untrained = [entry.network for entry in entries if entry.held is None]
    if untrained:
        lines.append(f"- Not trained: {', '.join(untrained)}.")
    short = [entry.network for entry in entries if entry.held is not None and entry.epochs < entry.planned]
    if short:
        lines.append(f"- Not trained to the end: {', '.join(short)}.")
    return "\n".join(lines)
