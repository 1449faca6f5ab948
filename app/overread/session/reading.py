"""The main job without a window: load → infer → review → export, for the command line and unattended use."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overread.dicom.codecs import Undecodable
from overread.dicom.export import Written, export
from overread.dicom.load import loaded
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Findings, Reader, Status, find
from overread.domain.merging import merged
from overread.domain.ports import Cancel, Detector
from overread.domain.study import Catalogue, Stack
from overread.infer.channels import NO_CHANNELS, Channels
from overread.infer.detector import OnnxDetector
from overread.infer.gate import partners
from overread.infer.results import Timing
from overread.session.books import Book, Books
from overread.session.companions import Companions
from overread.session.review import Step, accept, proposed, source_of


@dataclass(frozen=True)
class Outcome:
    """What came of reading one stack: findings, milliseconds for loading and for all, and each slice's timing.

    A 3-D model has one timing for all. `channels` are the series that were read together with the stack.
    """

    stack: Stack
    findings: Findings
    load_ms: float
    total_ms: float
    timings: tuple[Timing, ...]
    written: tuple[Written, ...] = ()
    channels: Channels = field(default_factory=dict)


def choose(catalogue: Catalogue, detector: Detector, series_uid: str = "") -> Stack:
    """The stack that a detector is to read. UserError where none fits, or several do and nobody said which."""
    stacks = list(catalogue.stacks)
    if not stacks:
        raise UserError("No DICOM images were found.", "Name the folder that holds the study.")
    if series_uid:
        stacks = [stack for stack in stacks if stack.identity.series_uid == series_uid]
        if not stacks:
            raise UserError(f"There is no series {series_uid}.", "“overread info PATH” lists the series.")
    study = tuple(catalogue.stacks)
    refusals = [
        detector.refuse(stack, study) if isinstance(detector, OnnxDetector) else detector.refuse(stack)
        for stack in stacks
    ]
    fitting = [stack for stack, refused in zip(stacks, refusals, strict=True) if not refused]
    if not fitting:
        reasons = dict.fromkeys(refusals)
        raise UserError(" ".join(reasons), "")
    if len(fitting) > 1:
        names = ", ".join(f"{s.identity.series_uid} ({s.identity.series_description})" for s in fitting)
        raise UserError(f"{len(fitting)} images fit: {names}.", "Name one with --series.")
    return fitting[0]


def read(stack: Stack, detector: Detector, study: Iterable[Stack] = ()) -> Outcome:
    """Load a stack and have a detector propose findings; `study` holds what else a model may have to read.

    UserError where the stack cannot be read, or another series cannot be laid on it.
    """
    start = time.perf_counter()
    try:
        volume = loaded(stack)
    except Undecodable as error:
        raise UserError(f"The series cannot be read: {error}.", "Copy the files again from where they came.") from error
    there = time.perf_counter()
    sha256, backend = "", f"plug-in {detector.id}"
    timings: tuple[Timing, ...] = ()
    channels: Channels = NO_CHANNELS
    if isinstance(detector, OnnxDetector):
        lay = Companions().channel
        beside = partners(detector.spec, stack, study)
        channels = {role: lay(volume, other, Cancel()) for role, other in beside.items()}
        proposals = detector(volume, lambda fraction: None, channels)
        sha256, timings, backend = detector.spec.sha256, detector.timings, detector.provenance
    else:
        proposals = detector(volume, lambda fraction: None)
    findings = proposed(proposals, stack, source_of(detector, sha256, backend))
    end = time.perf_counter()
    return Outcome(stack, findings, (there - start) * 1000, (end - start) * 1000, timings, channels=channels)


def accepted(books: Books, stack: Stack, detector: Detector, findings: Findings, reader: Reader) -> Findings:
    """Put a detector's proposals into the study's journal and accept, in a reader's name, those nobody has judged.

    Returns them as they then stand there: what a person rejected or changed before stays so. UserError where the
    journal cannot be written, or another window has the study.
    """
    book = books.opened(stack.identity)
    what = stack.identity.series_description or "the series"
    for label, after in _steps(book, stack, detector, findings, reader, what):
        if after != book.findings:
            book.edit(label, after, reader.name, f"{detector.id} {detector.version}")
    return tuple(held for finding in findings if (held := find(book.findings, finding.id)) is not None)


def _steps(
    book: Book, stack: Stack, detector: Detector, findings: Findings, reader: Reader, what: str
) -> Iterator[Step]:
    yield f"{detector.title} read {what}", merged(book.findings, findings, detector.id, stack.uid)
    ids = {finding.id for finding in findings}
    waiting = [f.id for f in book.findings if f.id in ids and f.status is Status.PROPOSED]
    if waiting:
        yield accept(book.findings, waiting, reader)


def deliver(stack: Stack, findings: Sequence[Finding], folder: Path, reader: Reader) -> tuple[Written, ...]:
    """Export what was accepted on a stack; nothing where nothing was."""
    if not any(finding.status.leaves for finding in findings):
        return ()
    return export(stack, findings, folder, reader)
