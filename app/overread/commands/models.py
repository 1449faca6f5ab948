"""`overread models`: what is installed, what it says of itself, whether it still does what it did."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overread.commands import model_tools
from overread.commands.answers import emit, say
from overread.commands.engine import chain, models
from overread.commands.links import link_answer, link_line, tried
from overread.commands.model_tools import TOOLS, count, named
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import ModelSpec
from overread.infer.triton import Plan, export


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "what",
        choices=["list", "show", "check", "export-triton", *TOOLS],
        help="list all, show one, run self-tests, or write a repository for the Triton Inference Server; "
        "add one, write its int8 or fp16 form, train a smaller one out of it, or time it on every backend",
    )
    parser.add_argument("id", nargs="?", default="", help="which model; the folder to write, or the one to add")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    server = parser.add_argument_group("with export-triton")
    server.add_argument("--model", action="append", default=[], metavar="ID", help="which model; all by default")
    server.add_argument("--tensorrt", action="store_true", help="fp16 by TensorRT on NVIDIA GPUs, not fp32 anywhere")
    server.add_argument("--batch", type=count, default=8, help="the most images that are run together (8)")
    server.add_argument("--instances", type=count, default=1, help="copies of each network side by side (1)")
    server.add_argument("--echo", action="store_true", help="a network too that gives back what it gets, to measure")
    model_tools.add(parser)


def run(arguments: argparse.Namespace) -> int:
    """List, show or check, or hand over to the tools."""
    if arguments.what in TOOLS:
        return TOOLS[arguments.what](arguments)
    installed = models()
    exports = arguments.what == "export-triton"
    chosen = arguments.model if exports else [arguments.id] if arguments.id else []
    installed = named(installed, chosen)
    if exports:
        return _export(installed, arguments)
    if arguments.what == "list":
        return _list(installed, arguments.json)
    if arguments.what == "show":
        if not arguments.id:
            raise argparse.ArgumentError(None, "Which model? “overread models show ID”.")
        return _show(installed[0].spec, arguments.json)
    return _check(installed, arguments.json)


def described(spec: ModelSpec) -> dict[str, Any]:
    """A model in plain values."""
    return {
        "id": spec.id,
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "task": spec.task,
        "dimensions": spec.dimensions,
        "sha256": spec.sha256,
        "use": spec.use,
        "licence": dict(spec.licence),
        "labels": [
            {"label": o.label, "code": o.concept.value, "scheme": o.concept.scheme, "threshold": o.threshold}
            for o in spec.outputs
        ],
        "headline": spec.headline,
        "results": dict(spec.results),
        "folder": str(spec.folder),
    }


def _export(installed: list[OnnxDetector], arguments: argparse.Namespace) -> int:
    if not arguments.id:
        raise argparse.ArgumentError(None, "Where to? “overread models export-triton DIR”.")
    plan = Plan("tensorrt" if arguments.tensorrt else "onnx", arguments.batch, arguments.instances)
    specs = _specs(installed)
    exported = export(specs, Path(arguments.id), plan, echo=arguments.echo)
    if arguments.json:
        emit({"repository": arguments.id, "precision": plan.precision, "models": [asdict(one) for one in exported]})
        return 0
    for one in exported:
        size = f"up to {plan.batch} images at once" if one.batched else "one image at a time: its batch axis is fixed"
        say(f"{one.name} version {one.version}, {plan.precision}, {size}")
    say(*(f"{detector.title}: {detector.spec.use}" for detector in installed))
    return 0


def _list(installed: list[OnnxDetector], as_json: bool) -> int:
    if as_json:
        emit({"models": [described(detector.spec) for detector in installed]})
        return 0
    for detector in installed:
        measured = detector.spec.headline or "not measured"
        say(f"{detector.id} {detector.version} · {detector.spec.summary} · {measured}", f"  {detector.spec.use}")
    return 0


def _show(spec: ModelSpec, as_json: bool) -> int:
    if as_json:
        emit({"model": described(spec)})
        return 0
    for name, value in described(spec).items():
        say(f"{name}: {value}")
    card = spec.folder / "CARD.md"
    if card.exists():
        say("", card.read_text("utf-8").rstrip())
    return 0


def _specs(installed: list[OnnxDetector]) -> list[ModelSpec]:
    """The models, each followed by the graph that explains it, where it has one."""
    return [spec for detector in installed for spec in (detector.spec, detector.spec.explaining) if spec is not None]


def _check(installed: list[OnnxDetector], as_json: bool) -> int:
    served_by, served = chain(), True
    answer: list[dict[str, Any]] = []
    for spec in _specs(installed):
        verdicts = tried(served_by, spec)
        served = served and any(verdict.passed for verdict in verdicts)
        links = [link_answer(verdict) for verdict in verdicts]
        answer.append({"id": spec.id, "version": spec.version, "backends": links})
    if as_json:
        emit({"models": answer})
    else:
        for model in answer:
            say(f"{model['id']} {model['version']}", *(f"  {link_line(link)}" for link in model["backends"]))
    return 0 if served else 3
