"""Smaller and faster forms of a trained model: pruned, int8, fp16; each measured, and shipped only where it pays."""

from __future__ import annotations

import hashlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tomlkit
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import card, prune, variants
from models.training.export import load, write_manifest
from models.training.recipe import Recipe
from models.training.report import VARIANTS, Table
from models.training.task import Batch, Task
from models.training.train import in_float
from models.training.variants import Graph, Timing
from overread.infer import lighter

F32 = NDArray[np.float32]

SHARES = (0.25, 0.5)
LOSS = 0.005  # of the score, which is of 1: 0.5 points of a hundred
FASTER = 0.95
THREADS = (1, 2)
_RATE = 5e-4


@dataclass(frozen=True)
class Variant:
    """A form of the model: its bare graph, its score on validation patients, its times, and how to ship it."""

    name: str
    file: Path
    score: float
    times: dict[int, Timing]
    ship: Callable[[], None]

    def pays(self, base: Variant) -> bool:
        """Whether it is faster than the unoptimised graph with 1 and with 2 threads and loses 0.5 points at most."""
        faster = all(timing.ratio < FASTER for timing in self.times.values())
        return faster and self.score >= base.score - LOSS


def optimise(recipe: Recipe, task: Task, weights: Path, folder: Path, *, steps: int, threads: int) -> Table:
    """Make and measure every variant of ``weights``; write the table, and the fastest that pays, to the model folder.

    Where the recipe says why none ships, the table does so too.

    ``steps`` of fine-tuning follow each pruning. Pruned weights are kept beside ``weights``. Where a variant ships, the
    folder is measured again as it now is. The folder is one that `export` made from the same weights.
    """
    torch.set_num_threads(threads)
    net = load(task.network(), weights)
    images = calibration(recipe, task)
    with tempfile.TemporaryDirectory() as scratch:
        files: dict[str, Path] = {}
        ships: dict[str, Callable[[], None]] = {}

        def add(name: str, write: Callable[[Path], object], ship: Callable[[], None]) -> None:
            files[name] = Path(scratch) / f"{len(files)}.onnx"
            ships[name] = ship
            write(files[name])

        add("unoptimised", lambda file: variants.bare_graph(net, images[0], file), lambda: None)
        for share in SHARES:
            smaller = pruned(task, net, recipe.epochs, share, steps)
            kept = weights.with_name(f"{weights.stem}-pruned-{share * 100:.0f}.pt")
            torch.save({"net": smaller.state_dict()}, kept)
            add(
                f"pruned by {share:.0%}, {steps} steps of fine-tuning",
                lambda file, one=smaller: variants.bare_graph(one, images[0], file),  # type: ignore[misc]
                lambda kept=kept: task.export(kept, folder),  # type: ignore[misc]
            )
        base = files["unoptimised"]
        add(
            "int8",
            lambda file: lighter.int8(base, file, images),
            lambda: reform(folder, lambda source, target: lighter.int8(source, target, images)),
        )
        add("fp16", lambda file: lighter.fp16(base, file), lambda: reform(folder, lighter.fp16))
        times = {count: variants.timed(files, images[0], count) for count in THREADS}
        made = [
            Variant(
                name,
                file,
                task.validate(Graph(file, threads))["score"],
                {count: times[count][name] for count in THREADS},
                ships[name],
            )
            for name, file in files.items()
        ]
        paying = [one for one in made[1:] if one.pays(made[0])]
        chosen = min([] if recipe.hold else paying, key=lambda one: one.times[1].ratio, default=made[0])
        shipped = {one.name: f"no: {recipe.hold}" if recipe.hold and one in paying else "no" for one in made}
        shipped[chosen.name] = "yes"
        table = Table(COLUMNS, tuple(_row(one, made[0], shipped[one.name]) for one in made))
    table.write(folder / VARIANTS)
    if chosen is made[0]:
        card.refresh(folder)
    else:
        chosen.ship()
        task.report(folder)
    return table


COLUMNS = (
    "variant",
    "MB",
    "ms, 1 thread: median (p95)",
    "ratio",
    "ms, 2 threads: median (p95)",
    "ratio, 2 threads",
    "validation score",
    "change, points",
    "shipped",
)


def _row(one: Variant, base: Variant, shipped: str) -> tuple[str, ...]:
    cells = [one.name, f"{one.file.stat().st_size / 1e6:.2f}"]
    for timing in one.times.values():
        cells += [f"{timing.median:.1f} ({timing.p95:.1f})", f"{timing.ratio:.2f}"]
    return (*cells, f"{one.score:.4f}", f"{(one.score - base.score) * 100:+.2f}", shipped)


def calibration(recipe: Recipe, task: Task, number: int = 32) -> list[F32]:
    """Images as training sees them, on the model's canvas: each (1, channels, rows, columns).

    What is larger than the canvas is cut to its middle; what is smaller is put there, its edge repeated around it.
    """
    size = tuple(recipe.manifest["prepare"]["size"])
    every = itertools.chain.from_iterable(batch[0].numpy() for batch in _endless(task, recipe.epochs))
    return [_on_canvas(image, size)[None] for image in itertools.islice(every, number)]


def _on_canvas(image: F32, size: tuple[int, ...]) -> F32:
    for axis, wanted in enumerate(size, start=1):
        there = image.shape[axis]
        start = max(0, there - wanted) // 2
        image = image.take(range(start, start + min(there, wanted)), axis)
        before = (wanted - image.shape[axis]) // 2
        around = [(0, 0)] * image.ndim
        around[axis] = (before, wanted - image.shape[axis] - before)
        image = np.pad(image, around, mode="edge")
    return image


def _endless(task: Task, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch after the last and of those that follow it, which have the settings of the last phase."""
    for after in itertools.count(epoch):
        yield from task.batches(after)


def pruned(task: Task, net: nn.Module, epoch: int, share: float, steps: int, looks: int = 8) -> nn.Module:
    """A net without ``share`` of the channels of each chain, fine-tuned for so many steps; ``net`` stays as it is.

    ``looks`` batches say which channels matter least.
    """
    found = prune.chains(net)
    batches = _endless(task, epoch)
    values = prune.importance(net, found, itertools.islice(batches, looks), task.loss)
    state = prune.without(net, {chain: prune.strongest(one, share) for chain, one in values.items()})
    smaller = prune.fitted(task.network(), state)
    tune(task, smaller, batches, steps)
    return smaller.eval()


def tune(task: Task, net: nn.Module, batches: Iterator[Batch], steps: int) -> None:
    """Train for so many steps, the rate falling from 5e-4 to 0 along half a cosine."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.01)
    net.train()
    for step, batch in enumerate(itertools.islice(batches, steps)):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1 + math.cos(math.pi * step / steps)) / 2
        with torch.autocast("cpu", torch.bfloat16):
            output = net(batch[0])
        loss: Tensor = task.loss(in_float(output), batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()


def reform(folder: Path, convert: Callable[[Path, Path], None]) -> None:
    """Replace the graph of a model folder by what ``convert`` (source, target) makes of it.

    The self-test gets the outputs of the new graph; since its precision is lower, the tolerance for fp32 becomes that
    for fp16. KeyError, ValueError or TypeError where the engine would not take it.
    """
    file = folder / "model.onnx"
    table: dict[str, Any] = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
    part = file.with_suffix(".part")
    convert(file, part)
    part.replace(file)
    one = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with np.load(folder / "selftest.npz") as kept:
        parts = dict(kept)
    names = [output.name for output in one.get_outputs()]
    answers = dict(zip(names, one.run(None, {one.get_inputs()[0].name: parts["input"]}), strict=True))
    if "output" in parts:  # how folders with a single output name it
        answers = {"output": answers[names[0]]}
    np.savez_compressed(folder / "selftest.npz", allow_pickle=False, **{**parts, **answers})
    tolerance = table["tolerance"]
    table["tolerance"] = {**tolerance, "fp32": max(tolerance["fp32"], tolerance.get("fp16", 0.0))}
    write_manifest(folder, {**table, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
