"""What a reader does to findings: pure functions, findings in, findings and the step's name out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from overread.domain.finding import (
    Act,
    Code,
    Finding,
    Findings,
    Kind,
    Mask,
    Measures,
    ModelSource,
    Reader,
    Status,
    Term,
    VoxelBox,
    find,
    only_box,
    with_finding,
)
from overread.domain.ports import Detector, Proposal
from overread.domain.study import Stack
from overread.domain.uids import uid_of
from overread.imaging.measure import measure

Step = tuple[str, Findings]

# What a reader draws without a model behind it, until it is given another name.
DRAWN = Term("Lesion", Code("52988006", "SCT", "Lesion"), Code("49755003", "SCT", "Morphologically Abnormal Structure"))


def now() -> datetime:
    """The time that goes into journals and reports."""
    return datetime.now(UTC)


def proposed(proposals: Iterable[Proposal], stack: Stack, model: ModelSource) -> tuple[Finding, ...]:
    """A detector's proposals as findings, measured; what the same model sees in the same voxels keeps its id.

    A box is not measured: it says where something is, not how large. ValueError where they make no sense. Runs on a
    worker: measuring takes a while.
    """
    findings = []
    for number, proposal in enumerate(_sound(proposals, stack), start=1):
        finding = Finding(
            id=uid_of(model.id, model.version, model.sha256, stack.uid, proposal.label, *_place(proposal)),
            stack_uid=stack.uid,
            series_uid=stack.identity.series_uid,
            number=number,
            label=proposal.label,
            concept=proposal.concept,
            category=proposal.category,
            anatomy=proposal.anatomy,
            colour=proposal.colour,
            mask=proposal.mask,
            measures=_measures(proposal.mask, proposal.box, stack),
            score=None if proposal.score is None else round(float(proposal.score), 4),
            model=model,
            status=Status.PROPOSED,
            kind=proposal.kind,
            box=proposal.box,
            threshold=proposal.threshold,
            classes=tuple((label, round(float(probability), 4)) for label, probability in proposal.classes),
            heatmap=proposal.heatmap,
            probabilities=proposal.probabilities,
        )
        findings.append(finding)
    return tuple(findings)


def _measures(mask: Mask, box: VoxelBox | None, stack: Stack) -> Measures | None:
    return measure(mask, stack.grid) if stack.measurable and not only_box(mask, box) else None


def measures_of(finding: Finding, stack: Stack) -> Measures | None:
    """What can be measured on a finding's voxels; a box says where something is, not how large."""
    return None if finding.boxed else _measures(finding.mask, None, stack)


def next_number(findings: Findings, stack_uid: str) -> int:
    """The number that the next finding of a stack gets."""
    return max((f.number for f in findings if f.stack_uid == stack_uid), default=0) + 1


def _place(proposal: Proposal) -> Iterator[str]:
    """What tells a proposal from others of the same label on the same stack."""
    yield proposal.mask.digest
    if proposal.box is not None:
        yield ",".join(str(edge) for edge in proposal.box)
    if proposal.kind is Kind.CLASSIFICATION:
        yield "" if proposal.heatmap is None else str(proposal.heatmap.index)


def _sound(proposals: Iterable[Proposal], stack: Stack) -> Iterator[Proposal]:
    """Proposals that hold voxels or speak of the whole image.

    ValueError where they lie in another grid or are surer than sure.
    """
    for proposal in proposals:
        if proposal.mask.shape != stack.grid.shape:
            raise ValueError(f"a proposal has the shape {proposal.mask.shape}, the image {stack.grid.shape}")
        if proposal.score is not None and not 0 <= proposal.score <= 1:
            raise ValueError(f"a proposal has the score {proposal.score}")
        if proposal.mask or proposal.kind is Kind.CLASSIFICATION:
            yield proposal


def source_of(detector: Detector, sha256: str, backend: str) -> ModelSource:
    """The source that a detector's findings name."""
    return ModelSource(detector.id, detector.title, detector.version, sha256, backend, now())


def accept(findings: Findings, ids: Sequence[str], reader: Reader) -> Step:
    """Agree with findings. What was edited stays edited; what was erased is nothing to agree with."""
    ids = [finding.id for finding in findings if finding.id in ids and not finding.erased]
    return _judge(findings, ids, Status.ACCEPTED, reader, "")


def reject(findings: Findings, ids: Sequence[str], reader: Reader, reason: str) -> Step:
    """Disagree with findings, for a reason."""
    return _judge(findings, ids, Status.REJECTED, reader, reason)


def _judge(findings: Findings, ids: Sequence[str], status: Status, reader: Reader, reason: str) -> Step:
    verb = "Accept" if status is Status.ACCEPTED else "Reject"
    changed = [finding for finding in findings if finding.id in ids]
    for finding in changed:
        last = finding.acts[-1] if finding.acts else None
        if last and (last.verb, last.reader, finding.reason) == (verb.lower(), reader, reason):
            continue  # the same key pressed twice
        edited = status is Status.ACCEPTED and finding.given and (finding.changed or finding.begun)
        verdict = finding.judged(Status.EDITED if edited else status, Act(reader, verb.lower(), now()), reason)
        findings = with_finding(findings, verdict)
    what = changed[0].title if len(changed) == 1 else f"{len(changed)} findings"
    return f"{verb} {what}" + (f" ({reason})" if reason else ""), findings


def measured(mask: Mask, stack: Stack) -> Measures | None:
    """What can be measured on voxels that a reader drew. On a large mask it takes a while: better on a worker."""
    return _measures(mask, None, stack)


def redraw(
    findings: Findings,
    finding_id: str,
    mask: Mask,
    stack: Stack,
    reader: Reader,
    verb: str,
    measures: Measures | None = None,
) -> Step:
    """Change a finding's voxels. One that was emptied is rejected, for there is nothing left to accept.

    The same voxels again are no change: the finding is not edited by it. `measures` are those of the voxels, where a
    worker has them already.
    """
    finding = find(findings, finding_id)
    if finding is None:
        raise KeyError(finding_id)
    if mask == finding.mask:
        return f"{verb} {finding.title}", findings
    changed = finding.redrawn(mask, measures or measured(mask, stack), Act(reader, _did(verb), now()))
    if not mask:
        changed = replace(changed, status=Status.REJECTED, reason="erased")
    return f"{verb} {finding.title}", with_finding(findings, changed)


def _did(verb: str) -> str:
    """What an act is called, of a step's words before the finding's name: "margin +3 mm" of "Margin +3 mm of"."""
    return verb.removesuffix(" of").rstrip(":").lower()


def readers_own(
    findings: Findings, stack: Stack, reader: Reader, verb: str, mask: Mask, term: Term = DRAWN, **facts: Any
) -> Finding:
    """A finding that no model had a part in, with the next number of its stack; ``facts`` are further fields of it."""
    number, when = next_number(findings, stack.uid), now()
    own: dict[str, Any] = {
        "measures": None,
        "score": None,
        "model": None,
        "status": Status.EDITED,
        "acts": (Act(reader, verb, when),),
    }
    return Finding(
        id=uid_of(stack.uid, reader.name, when.isoformat(), str(number)),
        stack_uid=stack.uid,
        series_uid=stack.identity.series_uid,
        number=number,
        label=term.label,
        concept=term.concept,
        category=term.category,
        anatomy=None,
        colour="#9B8CFF",
        mask=mask,
        **(own | facts),
    )


def draw_new(
    findings: Findings, mask: Mask, stack: Stack, reader: Reader, measures: Measures | None = None
) -> tuple[str, Findings, str]:
    """Begin a finding of the reader's own; returns the step and its id. `measures` as in `redraw`."""
    finding = readers_own(findings, stack, reader, "draw", mask, measures=measures or measured(mask, stack))
    return f"Draw {finding.title}", (*findings, finding), finding.id


def restore(findings: Findings, finding_id: str, stack: Stack, reader: Reader) -> Step:
    """Put back what the model drew and said; the finding is a proposal again."""
    finding = find(findings, finding_id)
    if finding is None or not finding.restorable:
        raise KeyError(finding_id)
    mask = finding.mask if finding.original is None else finding.original
    called = finding.proposed or finding.term
    changed = replace(
        finding,
        label=called.label,
        concept=called.concept,
        category=called.category,
        proposed=None,
        anatomy=finding.anatomy if finding.proposed_site is None else next(iter(finding.proposed_site), None),
        proposed_site=None,
        present=None,
        moved=None,
        mask=mask,
        measures=_measures(mask, finding.box, stack),
        status=Status.EDITED if finding.begun else Status.PROPOSED,
        reason="",
        original=None,
        acts=(*finding.acts, Act(reader, "restore", now())),
    )
    return f"Restore {finding.title}", with_finding(findings, changed)
