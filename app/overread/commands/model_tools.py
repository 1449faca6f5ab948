"""`overread models add · quantize · prune · bench`: one more model, a lighter form of one, and how fast each is."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from overread import paths
from overread.commands.answers import emit, say
from overread.commands.benchmarks.rows import Row, alternately, table
from overread.commands.engine import models
from overread.commands.machine import described
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.infer import lighter
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.onnx import OnnxRuntime
from overread.infer.detector import OnnxDetector
from overread.infer.install import install
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from overread.infer.slices import Slicer
from overread.session.reading import choose
from overread.session.scratch import Scratch

_RUNS = 30
# Calibration needs the range of the values, not every slice.
_SLICES = 32


def add(parser: argparse.ArgumentParser) -> None:
    """Their arguments."""
    tools = parser.add_argument_group("with add, quantize, prune, bench")
    tools.add_argument("--replace", action="store_true", help="add: in the place of one of the same id")
    tools.add_argument("--form", choices=lighter.FORMS, default="int8", help="quantize: to which form (int8)")
    tools.add_argument("--calibrate", type=Path, metavar="PATH", help="quantize: a study whose slices give the ranges")
    tools.add_argument("--out", type=Path, metavar="DIR", help="quantize: the folder to write (among your models)")
    tools.add_argument("--anyway", action="store_true", help="quantize: keep it too where it is not faster")
    tools.add_argument("--data", type=Path, metavar="DIR", help="prune: the folder with train/")
    tools.add_argument("--steps", type=count, default=1000, help="prune: of fine-tuning (1000)")
    tools.add_argument("--threads", type=count, default=2, help="prune: of the processor (2)")
    tools.add_argument("--runs", type=count, default=_RUNS, help=f"bench: how many times each ({_RUNS})")


def count(text: str) -> int:
    """A number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def named(installed: list[OnnxDetector], chosen: Sequence[str]) -> list[OnnxDetector]:
    """The models of these ids, all where none is named. Wrong usage where there is none of that id."""
    for model_id in chosen:
        if model_id not in [detector.id for detector in installed]:
            raise argparse.ArgumentError(
                None, f"There is no model {model_id}. “overread models list” names those there are."
            )
    return [detector for detector in installed if not chosen or detector.id in chosen]


def _one(arguments: argparse.Namespace) -> ModelSpec:
    if not arguments.id:
        raise argparse.ArgumentError(None, f"Which model? “overread models {arguments.what} ID”.")
    return named(models(), [arguments.id])[0].spec


def add_model(arguments: argparse.Namespace) -> int:
    """Put a model among the reader's own, once it has passed its self-test here."""
    if not arguments.id:
        raise argparse.ArgumentError(None, "Which one? “overread models add PATH”, a folder or a zip archive.")
    spec = install(Path(arguments.id), paths.data() / "models", Chain(), replacing=arguments.replace)
    if arguments.json:
        emit({"model": {"id": spec.id, "version": spec.version, "sha256": spec.sha256, "folder": str(spec.folder)}})
    else:
        say(f"{spec.id} {spec.version} · {spec.summary}", f"  {spec.folder}", f"  {spec.use}")
    return 0


def quantize(arguments: argparse.Namespace) -> int:
    """Write a lighter form of a model and say what it is worth; it stays where it is faster."""
    spec = _one(arguments)
    if arguments.form == "int8" and spec.patches is not None:
        raise UserError(f"{spec.name} reads volumes; int8 is made for models that read slices.", "Choose --form fp16.")
    folder = arguments.out or paths.data() / "models" / f"{spec.id}-{arguments.form}"
    with ExitStack() as held:
        made = lighter.lighten(spec, arguments.form, _calibration(spec, arguments.calibrate, held), folder)
    after = read(made.folder)
    row = _against(after, spec)
    faster = row.ratio is not None and row.ratio > 1
    kept = faster or arguments.anyway
    if not kept:
        for file in sorted(made.folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        made.folder.rmdir()
    answer = {
        "model": {"id": after.id, "version": after.version, "sha256": after.sha256},
        "form": arguments.form,
        "bytes": {"before": made.bytes_before, "after": made.bytes_after},
        "off": made.off,
        "row": row.answer(),
        "kept": kept,
        "folder": str(made.folder) if kept else None,
    }
    if arguments.json:
        emit(answer)
        return 0
    say(
        f"{after.id}: {made.bytes_after / 1e6:.2f} MB of {made.bytes_before / 1e6:.2f}, off by {made.off:.2g} on its "
        "self-test; what that costs on patients was not measured.",
        *table([row]),
    )
    say(str(made.folder) if kept else "It is not faster here, so it was not kept (--anyway keeps it).")
    return 0


def _calibration(spec: ModelSpec, study: Path | None, held: ExitStack) -> list[lighter.F32]:
    """Slices as the model sees them: of a study that fits, else the self-test's own, which is a made-up one."""
    if study is None:
        return [SelfTest(spec).probes[0].input[:1]]
    catalogue = scanned((study,), held.enter_context(Scratch()))
    stack = choose(catalogue, OnnxDetector(spec, Chain((REFERENCE,))), "")
    if spec.inputs:
        raise UserError(f"{spec.name} reads several series together; leave --calibrate away.")
    slicer = Slicer.of(loaded(stack), spec.prepare)
    step = max(1, slicer.count // _SLICES)
    return [slicer.tensor(k) for k in range(0, slicer.count, step)]


def _against(after: ModelSpec, before: ModelSpec) -> Row:
    """One network against the other on the CPU, in turn, on the self-test's input."""
    tensor = SelfTest(before).probes[0].input[:1]
    start = OnnxRuntime().start
    ours, theirs = (start(spec.graph, REFERENCE, None) for spec in (after, before))
    values, peer = alternately(partial(ours.run, tensor, Cancel()), partial(theirs.run, tensor, Cancel()), _RUNS)
    shape = "×".join(str(n) for n in tensor.shape)
    return Row(f"{after.id}, {REFERENCE.label}", "ms", values, f"{shape}, in turn", before.id, peer)


def prune(arguments: argparse.Namespace) -> int:
    """Train smaller nets out of a model's, by its recipe; the model folder gets one where that pays.

    Which channels matter only the training data tell, so that this needs them, and the repository.
    """
    spec = _one(arguments)
    try:
        from models.training import __main__ as training
    except ImportError as error:
        raise UserError(
            f"Pruning needs the training code, which is not here ({error.name} is missing).",
            'Work in the repository, with pip install "overread[train]".',
        ) from error
    recipe = Path(training.__file__).with_name(f"{spec.id.replace('-', '_')}.toml")
    if not recipe.exists():
        raise UserError(f"There is no recipe for {spec.id}.", "Only models that were trained here can be pruned here.")
    if arguments.data is None:
        raise argparse.ArgumentError(None, "Pruned nets are trained on: name the folder with train/ by --data.")
    words = [str(recipe), "--data", str(arguments.data), "--steps", str(arguments.steps)]
    words += ["--threads", str(arguments.threads), "--out", str(spec.folder)]
    before, sys.argv = sys.argv, ["models.training", "optimise", *words]
    try:
        return training.main()
    finally:
        sys.argv = before


def bench(arguments: argparse.Namespace) -> int:
    """Time the network of each model, or of one, on every backend that passes here, against ONNX Runtime in fp32."""
    rows: list[Row] = []
    for detector in named(models(), [arguments.id] if arguments.id else []):
        rows += _benched(detector.spec, arguments.runs)
    if arguments.json:
        emit({"machine": described(), "rows": [row.answer() for row in rows]})
    else:
        say(*table(rows))
    return 0


def _benched(spec: ModelSpec, runs: int) -> list[Row]:
    chain, tensor = Chain(), SelfTest(spec).probes[0].input[:1]
    shape = f"{'×'.join(str(n) for n in tensor.shape)} of {os.cpu_count()} cores"
    judged = [chain.judged(spec, link) for link in chain.candidates]
    backends = [(verdict.candidate, links[0]) for verdict, links in judged if links]
    peer = next((backend for candidate, backend in backends if candidate == REFERENCE), None)
    rows = []
    for candidate, backend in backends:
        call = partial(backend.run, tensor, Cancel())
        if peer is None or backend is peer:
            rows.append(Row(f"{spec.id}, {candidate.label}", "ms", alternately(call, lambda: None, runs)[0], shape))
            continue
        values, theirs = alternately(call, partial(peer.run, tensor, Cancel()), runs)
        rows.append(Row(f"{spec.id}, {candidate.label}", "ms", values, shape, REFERENCE.label, theirs))
    return rows


TOOLS: dict[str, Callable[[argparse.Namespace], int]] = {
    "add": add_model,
    "quantize": quantize,
    "prune": prune,
    "bench": bench,
}
