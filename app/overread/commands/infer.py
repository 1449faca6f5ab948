"""`overread infer`: the main job without a window."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from overread import paths
from overread.commands.answers import emit, files_answer, finding_answer, say, write_json
from overread.commands.engine import detectors, reader
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.finding import Findings, Kind
from overread.domain.ports import Detector
from overread.domain.study import Stack
from overread.imaging.registration import Registration
from overread.infer.detector import OnnxDetector
from overread.session.books import Books
from overread.session.plugins import blame
from overread.session.reading import Outcome, accepted, choose, deliver, read
from overread.session.scratch import Scratch


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("path", nargs="+", type=Path, help="file, folder, zip or DICOMDIR")
    parser.add_argument("--model", required=True, metavar="ID", help="a model or a plug-in's detector")
    parser.add_argument("--series", default="", metavar="UID", help="which series, where several fit")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where findings.json and DICOM go")
    parser.add_argument("--accept", action="store_true", help="accept every proposal and write SEG and SR")
    parser.add_argument("--reader", default="", metavar="NAME", help="who accepts")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Read one series and print what was found."""
    available = {detector.id: detector for detector in detectors()}
    detector = available.get(arguments.model)
    if detector is None:
        names = ", ".join(available) or "none"
        raise argparse.ArgumentError(None, f"There is no model {arguments.model}. Installed: {names}.")
    accepting = reader(arguments.reader) if arguments.accept else None
    with Scratch() as scratch:
        catalogue = scanned(tuple(arguments.path), scratch)
        with _guarded(detector):
            stack = choose(catalogue, detector, arguments.series)
            outcome = read(stack, detector, catalogue.stacks)
        with closing(Books(paths.data() / "journals")) as books:
            findings = outcome.findings
            if accepting:
                findings = accepted(books, stack, detector, findings, accepting)
            answer = _answer(detector, outcome, findings)
            written = deliver(stack, findings, arguments.out, accepting) if accepting else ()
            answer["files"] = files_answer(written)
            try:
                write_json(arguments.out / "findings.json", answer)
                if accepting and written:
                    names = ", ".join(item.path.name for item in written)
                    books.of(stack.identity).journal.write("export", names, accepting.name)
            except BaseException as error:
                for item in written:
                    item.path.unlink(missing_ok=True)
                if isinstance(error, OSError):
                    raise UserError(
                        f"{arguments.out} cannot be written: {error.strerror}.", "Choose another folder."
                    ) from error
                raise
    if arguments.json:
        emit(answer)
    else:
        _print(answer, outcome)
    return 0


@contextmanager
def _guarded(detector: Detector) -> Iterator[None]:
    """A plug-in neither prints into the answer nor takes the program down."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Exception as error:
        if isinstance(detector, OnnxDetector):
            raise
        raise blame(detector, error) from error


def _answer(detector: Detector, outcome: Outcome, findings: Findings) -> dict[str, Any]:
    model: dict[str, Any] = {"id": detector.id, "version": detector.version, "sha256": None}
    backend: dict[str, Any] = {"name": "plug-in", "precision": None, "why": ""}
    if isinstance(detector, OnnxDetector) and detector.served is not None:
        served = detector.served
        model["sha256"] = detector.spec.sha256
        model["use"] = detector.spec.use
        backend = {"name": served.backend.name, "precision": served.backend.precision, "why": served.why}
    return {
        "model": model,
        "backend": backend,
        "ms": {
            "load": round(outcome.load_ms, 2),
            **{stage: round(sum(getattr(t, stage) for t in outcome.timings), 2) for stage in ("pre", "run", "post")},
            "total": round(outcome.total_ms, 2),
        },
        "ms_per_slice": _ms_per_slice(detector, outcome),
        "series_uid": outcome.stack.identity.series_uid,
        "registered": [
            _registered(role, channel.volume.stack, channel.registration, outcome.stack)
            for role, channel in outcome.channels.items()
            if channel.registration is not None
        ],
        "findings": [finding_answer(finding, outcome.stack) for finding in findings],
        "files": [],
        "notice": "Not for clinical use.",
    }


def _ms_per_slice(detector: Detector, outcome: Outcome) -> float | None:
    """None for a model that reads all slices together."""
    if not outcome.timings or (isinstance(detector, OnnxDetector) and detector.spec.patches is not None):
        return None
    return round(statistics.median(timing.total for timing in outcome.timings), 2)


def _registered(role: str, other: Stack, found: Registration, stack: Stack) -> dict[str, Any]:
    """How a series that was read together with the stack was laid on it."""
    middle = stack.grid.to_lps((np.array(stack.grid.shape) - 1) / 2)
    return {
        "role": role,
        "series_uid": other.identity.series_uid,
        "angle_deg": round(found.angle_deg, 2),
        "shift_mm": round(found.shift_mm(middle), 2),
        "mutual_information": [round(found.before, 4), round(found.after, 4)],
        "overlap": round(found.overlap, 3),
    }


def _said(finding: dict[str, Any]) -> str:
    """What a finding says, in a few words."""
    if finding["kind"] == Kind.CLASSIFICATION:
        side = "above" if finding["positive"] else "below"
        return f"probability {finding['score']:.2f}, {side} the threshold of {finding['threshold']:.2f}"
    size = "not measurable"
    if finding["axes_mm"]:
        size = f"{finding['volume_ml']:.1f} ml, {finding['axes_mm'][0]:.0f} × {finding['axes_mm'][1]:.0f} mm"
    elif finding["kind"] == Kind.DETECTION and finding["box_mm"]:
        low, high = finding["box_mm"]
        size = "a box of " + " × ".join(f"{b - a:.0f}" for a, b in zip(low, high, strict=True)) + " mm"
    score = "" if finding["score"] is None else f", score {finding['score']:.2f}"
    classes = "".join(f", {label} {share:.2f}" for label, share in finding.get("classes", {}).items())
    return size + score + classes


def _print(answer: dict[str, Any], outcome: Outcome) -> None:
    backend = answer["backend"]
    who = outcome.stack.identity
    model = answer["model"]
    say(
        f"{model['id']} {model['version']} on {backend['name']} {backend['precision'] or ''}".strip(),
        f"{who.display_name} · {who.patient_id} · {who.modality} {who.series_description}",
    )
    for item in answer["registered"]:
        say(f"  {item['role']} laid on it: turned by {item['angle_deg']:.1f}°, moved by {item['shift_mm']:.1f} mm")
    if not answer["findings"]:
        say("Looked, found nothing.")
    for number, finding in enumerate(answer["findings"], start=1):
        say(f"  {number}. {finding['label']}: {_said(finding)}, {finding['status']}")
    for item in answer["files"]:
        say(f"  {item['kind']}: {item['path']}")
    stages = ", ".join(f"{stage} {taken:.0f}" for stage, taken in answer["ms"].items())
    say(f"{stages} ms. Not for clinical use.")
