"""What was measured, to be read by people: tables as Markdown and CSV, and plots. No patient's image is among them.

Plots are the same bytes for the same numbers, matplotlib and its fonts being the same.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from models.training.classification import Reliability, roc, roc_auc
from models.training.detection import RATES, Froc

FIGURES = "figures"
VARIANTS = "variants.csv"

# What the card says about a plot, by the name of its file; in the order of the card.
CAPTIONS = {
    "learning": "Learning curves: the loss of each epoch, and the score on the validation patients.",
    "volumes": "Bland–Altman plot: found volume against true volume, one point a held-out patient.",
    "roc": "ROC curves on held-out cases.",
    "reliability": "Reliability diagram: how often the model is right, by how sure it is.",
    "froc": "FROC curve on held-out scans.",
}
VARIANTS_TEXT = """\
## Variants

Made and measured by `python -m models.training optimise`: batch 1 on a CPU with 1 and 2 threads, every variant in
turn with the unoptimised graph in the same run; the ratio is the median over the turns of its time by that of the
unoptimised graph. The change is that of the score on validation patients, in points of a hundred. A variant ships only
where it is faster with 1 and with 2 threads (ratio below 0.95) and loses at most 0.5 points.
"""
_BLUE, _ORANGE, _GREY = "#1f77b4", "#d95f02", "#808080"


@dataclass(frozen=True)
class Table:
    """Rows of text under the names of their columns. ValueError where a row is longer or shorter than the heading."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} entries stand under {len(self.columns)} columns")

    @classmethod
    def of(cls, records: Sequence[Mapping[str, object]], digits: int = 3) -> Table:
        """A table of records with the same keys; floats with so many digits after the point."""
        columns = tuple(records[0]) if records else ()
        return cls(columns, tuple(tuple(_text(record[key], digits) for key in columns) for record in records))

    @classmethod
    def read(cls, file: Path) -> Table:
        """What `write` wrote. StopIteration where the file is empty."""
        with file.open(encoding="utf-8", newline="") as source:
            rows = csv.reader(source)
            return cls(tuple(next(rows)), tuple(tuple(row) for row in rows))

    def markdown(self) -> str:
        """For a card; a line each row, without a line break at the end."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def write(self, file: Path) -> None:
        """As CSV (RFC 4180, but with line feeds), with the heading."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as sink:
            csv.writer(sink, lineterminator="\n").writerows([self.columns, *self.rows])


def _text(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (float, np.floating)) else str(value)


def learning_curves(log: Path, file: Path) -> None:
    """Plot the log of a run: JSON lines with `epoch`, `loss` and, in some, `score`."""
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    axes = _axes("epoch", "loss")
    axes.plot([line["epoch"] for line in lines], [line["loss"] for line in lines], color=_BLUE)
    axes.yaxis.label.set_color(_BLUE)
    scored = [line for line in lines if "score" in line]
    if scored:
        beside = axes.twinx()
        beside.set_ylabel("validation score", color=_ORANGE)
        beside.plot([line["epoch"] for line in scored], [line["score"] for line in scored], ".-", color=_ORANGE)
    _save(axes, file)


def roc_plot(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], file: Path) -> None:
    """Plot ROC curves: (scores, truth) by name, as `classification.roc` takes them."""
    axes = _axes("1 - specificity", "sensitivity")
    for name, (scores, truth) in curves.items():
        curve = roc(scores, truth)
        axes.plot(curve.false_positive_rate, curve.sensitivity, label=f"{name}: AUC {roc_auc(scores, truth):.3f}")
    axes.plot([0, 1], [0, 1], ":", color=_GREY)
    axes.set_aspect("equal")
    axes.legend(loc="lower right", fontsize="small")
    _save(axes, file)


@dataclass(frozen=True)
class Agreement:
    """Bland and Altman's bias and 95 % limits of agreement, in the unit of what was measured."""

    bias: float
    low: float
    high: float

    @classmethod
    def of(cls, found: ArrayLike, truth: ArrayLike) -> Agreement:
        """The mean of found - truth, and 1.96 standard deviations to either side (Bland & Altman, Lancet 1986).

        Both are (patients,); ValueError for fewer than two.
        """
        apart = np.asarray(found, np.float64) - np.asarray(truth, np.float64)
        if apart.ndim != 1 or len(apart) < 2:
            raise ValueError("two patients at least are needed")
        bias, spread = float(apart.mean()), 1.96 * float(apart.std(ddof=1))
        return cls(bias, bias - spread, bias + spread)


def bland_altman(found_ml: ArrayLike, truth_ml: ArrayLike, file: Path) -> Agreement:
    """Plot volumes in ml, both (patients,): difference against mean, with bias and limits, which are returned."""
    found, truth = np.asarray(found_ml, np.float64), np.asarray(truth_ml, np.float64)
    limits = Agreement.of(found, truth)
    axes = _axes("mean of found and true volume, ml", "found - true volume, ml")
    axes.plot((found + truth) / 2, found - truth, "o", color=_BLUE, markersize=4)
    axes.axhline(limits.bias, color=_ORANGE)
    for limit in (limits.low, limits.high):
        axes.axhline(limit, color=_ORANGE, linestyle="--")
    axes.set_title(f"bias {limits.bias:.1f} ml, limits {limits.low:.1f} to {limits.high:.1f} ml", fontsize="small")
    _save(axes, file)
    return limits


def reliability_plot(measured: Reliability, file: Path) -> None:
    """Plot accuracy against confidence, the area of a point growing with the number of cases in its bin."""
    axes = _axes("confidence", "share that is right")
    axes.plot([0, 1], [0, 1], ":", color=_GREY)
    filled = measured.number > 0
    areas = 10 + 150 * measured.number[filled] / measured.number.max()
    axes.scatter(measured.confidence[filled], measured.accuracy[filled], areas, color=_BLUE, alpha=0.7)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.set_title(f"ECE {measured.ece:.3f}", fontsize="small")
    _save(axes, file)


def froc_plot(curve: Froc, file: Path) -> None:
    """Plot sensitivity against false positives per scan at the rates of LUNA16 and between, and the CPM."""
    axes = _axes("false positives per scan", "sensitivity")
    axes.step(curve.false_positives, curve.sensitivity, where="post", color=_BLUE)
    axes.plot(RATES, [curve.sensitivity_at(rate) for rate in RATES], "o", color=_ORANGE, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set(xlim=(RATES[0] / 1.2, RATES[-1] * 1.2), ylim=(0, 1.02))
    axes.set_xticks(RATES, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.set_title(f"CPM {curve.cpm:.3f}", fontsize="small")
    _save(axes, file)


def sections(folder: Path) -> str:
    """What a card says of the plots and the variants that lie in its model folder; "" where there are none."""
    parts = []
    plots = [(name, text) for name, text in CAPTIONS.items() if (folder / FIGURES / f"{name}.png").exists()]
    if plots:
        pictures = "\n\n".join(f"![{text}]({FIGURES}/{name}.png)" for name, text in plots)
        parts.append(f"\n## Figures\n\n{pictures}\n")
    if (folder / VARIANTS).exists():
        parts.append(f"\n{VARIANTS_TEXT}\n{Table.read(folder / VARIANTS).markdown()}\n")
    return "".join(parts)


def _axes(x: str, y: str) -> Axes:
    figure = Figure(figsize=(4.2, 3.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return axes


def _save(axes: Axes, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure = axes.figure
    # no version of the software and no date, which would differ where the numbers do not
    figure.savefig(file, format="png", metadata={"Software": None})  # type: ignore[union-attr]
