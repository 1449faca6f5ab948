"""What a reader does to detection boxes: pure functions, findings in, findings and the step's name out.

The box that was drawn first stays in `Finding.box`; where it was moved to is `Finding.moved`. An outline is of the
picture and not of the box: a side that is pulled in cuts it there; where nothing is left of it the box stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from overread.domain.errors import UserError
from overread.domain.finding import (
    Act,
    Finding,
    Findings,
    Kind,
    Mask,
    ModelSource,
    Reader,
    Status,
    VoxelBox,
    find,
    with_finding,
)
from overread.domain.study import Stack
from overread.domain.uids import uid_of
from overread.imaging.boxes import around, common, cut, filled, halves, pulled_in, united
from overread.imaging.paint import empty
from overread.session.review import Step, measures_of, next_number, now, readers_own


def put(findings: Findings, finding_id: str, box: VoxelBox, stack: Stack, reader: Reader, verb: str) -> Step:
    """Move or resize a box; `verb` names the step. The same box again is no change."""
    finding = _boxed(findings, finding_id)
    if box == finding.bounds:
        return f"{verb} {finding.title}", findings
    return f"{verb} {finding.title}", with_finding(findings, laid(finding, box, stack, _act(reader, verb)))


def laid(finding: Finding, box: VoxelBox, stack: Stack, act: Act) -> Finding:
    """A detection with its box elsewhere, edited by the reader; also while it is still being dragged."""
    shape = finding.mask.shape
    kept = empty(shape) if finding.boxed else cut(finding.mask, pulled_in(finding.bounds or box, box, shape))
    return _redrawn(finding, kept or filled(box, shape), box, stack, act)


def new_box(findings: Findings, box: VoxelBox, stack: Stack, reader: Reader) -> tuple[str, Findings, str]:
    """Add a box of the reader's own; returns the step and its id."""
    mask = filled(box, stack.grid.shape)
    finding = readers_own(findings, stack, reader, "draw", mask, kind=Kind.DETECTION, box=box)
    return f"Add box {finding.title}", (*findings, finding), finding.id


def split(findings: Findings, finding_id: str, axis: int, at: int, stack: Stack, reader: Reader) -> Step:
    """Make two boxes of one, before and from voxel `at` of an axis (k, j, i) on; both keep what the model drew.

    UserError where one of them would be empty.
    """
    finding = _boxed(findings, finding_id)
    bounds = finding.bounds
    assert bounds is not None
    try:
        first, second = halves(bounds, axis, at)
    except ValueError as error:
        hint = "Go to a slice within the box, or split it along its longest axis."
        raise UserError(f"{finding.title} cannot be split here.", hint) from error
    act, number = _act(reader, "Split"), next_number(findings, stack.uid)
    one = laid(finding, first, stack, act)
    named = replace(finding, id=uid_of(finding.id, act.when.isoformat(), str(number)), number=number)
    return f"Split {finding.title}", (*with_finding(findings, one), laid(named, second, stack, act))


def partner(findings: Findings, finding_id: str) -> Finding | None:
    """The box that overlaps a box most, of those that are not rejected; None where none does."""
    finding = _boxed(findings, finding_id)
    bounds = finding.bounds
    assert bounds is not None
    near = [
        (common(bounds, other.bounds), other)
        for other in findings
        if other.id != finding.id
        and other.stack_uid == finding.stack_uid
        and other.kind is Kind.DETECTION
        and other.status is not Status.REJECTED
        and other.bounds is not None
    ]
    best = max(near, key=lambda pair: pair[0], default=None)
    return best[1] if best is not None and best[0] else None


def merge(findings: Findings, ids: Sequence[str], stack: Stack, reader: Reader) -> Step:
    """Make one box of several, around all of them. It stays the first one; the others are rejected as its parts.

    Outlines are united where all have one. The score is that of the surest that the same model drew.
    """
    chosen = [_boxed(findings, finding_id) for finding_id in ids]
    if len(chosen) < 2:
        raise UserError("There is no second box to merge with.", "Ctrl+click marks another one.")
    first, act = chosen[0], _act(reader, "Merge")
    box = around([finding.bounds for finding in chosen if finding.bounds is not None])
    outlined = not any(finding.boxed for finding in chosen)
    mask = united([finding.mask for finding in chosen]) if outlined else filled(box, first.mask.shape)
    model = first.model.id if first.model is not None else None
    scores = [f.score for f in chosen if f.score is not None and f.model is not None and f.model.id == model]
    merged = replace(_redrawn(first, mask, box, stack, act), score=max(scores, default=first.score))
    findings = with_finding(findings, merged)
    for other in chosen[1:]:
        findings = with_finding(findings, other.judged(Status.REJECTED, act, f"merged into {first.title}"))
    return f"Merge {' and '.join(finding.title for finding in chosen)}", findings


def outlined(findings: Findings, finding_id: str, mask: Mask, model: ModelSource, stack: Stack, reader: Reader) -> Step:
    """Put a model's outline into a box. A box of the reader's own is then the model's, edited by the reader."""
    finding = _boxed(findings, finding_id)
    bounds = finding.bounds
    assert bounds is not None
    if finding.model is None:
        # The reader's box is what the model was asked about; its outline is the first thing that the model drew.
        changed = replace(finding, mask=mask, model=model, box=bounds, moved=None, status=Status.EDITED, reason="")
        changed = replace(changed, measures=measures_of(changed, stack), acts=(*finding.acts, _act(reader, "Outline")))
    else:
        changed = _redrawn(finding, mask, bounds, stack, _act(reader, "Outline"))
    return f"Outline {finding.title}", with_finding(findings, changed)


def _redrawn(finding: Finding, mask: Mask, box: VoxelBox, stack: Stack, act: Act) -> Finding:
    changed = replace(finding.redrawn(mask, None, act), moved=box)
    return replace(changed, measures=measures_of(changed, stack))


def _act(reader: Reader, verb: str) -> Act:
    return Act(reader, verb.lower(), now())


def _boxed(findings: Findings, finding_id: str) -> Finding:
    finding = find(findings, finding_id)
    if finding is None or finding.kind is not Kind.DETECTION or finding.bounds is None:
        raise KeyError(finding_id)
    return finding
