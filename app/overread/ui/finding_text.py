"""What is said of a finding in lists and cards."""

from __future__ import annotations

from overread.domain.finding import Finding, Kind, VoxelBox
from overread.domain.geometry import Grid
from overread.domain.objects import ObjectSource
from overread.render.measures import words

# What readers do to findings that makes them theirs in part.
# What a reader does to a finding without changing it; all else is an edit.
_VERDICTS = ("accept", "reject", "restore")


def name_text(finding: Finding) -> str:
    """What it is called; a class is named without a number."""
    return finding.label if finding.kind is Kind.CLASSIFICATION else finding.title


def size_text(finding: Finding, grid: Grid) -> str:
    """Volume and axes as far as they are known, or the size of its box; for a class the side of the threshold."""
    if finding.kind is Kind.CLASSIFICATION:
        return _class_text(finding)
    if finding.measurement is not None:
        return "   ".join(words(finding.measurement))
    if finding.kind is Kind.ANNOTATION:
        slices = len({mark.index for mark in finding.marks})
        return f"noted on {slices} slice{'' if slices == 1 else 's'}"
    measures = finding.measures
    if measures is not None:
        return f"{volume_text(measures.volume_ml)}   {measures.long_axis_mm:.0f} × {measures.short_axis_mm:.0f} mm"
    if finding.bounds is not None and finding.boxed:
        return f"box {box_size(finding.bounds, grid)}"
    return f"{finding.mask.count} voxels"


def volume_text(ml: float) -> str:
    """A volume with as many figures as mean something."""
    return f"{ml:.1f} ml" if ml >= 10 else f"{ml:.2f} ml" if ml >= 0.1 else f"{ml:.2g} ml"


def score_text(finding: Finding) -> str:
    """The model's score, or the probability of a class; "" where it gave none."""
    if finding.score is None:
        return ""
    word = "probability" if finding.kind is Kind.CLASSIFICATION else "score"
    of = f" of {finding.proposed.label}" if finding.kind is Kind.CLASSIFICATION and finding.proposed else ""
    return f"{word} {finding.score:.2f}{of}"


def site_text(finding: Finding) -> str:
    """Where it is, and where it was proposed to be if the reader says another place; "" where nobody said."""
    here = f"in {finding.anatomy.meaning}" if finding.anatomy is not None else ""
    if not finding.proposed_site:
        return here
    return f"{here or 'nowhere in particular'}, says the reader; proposed: {finding.proposed_site[0].meaning}"


def _class_text(finding: Finding) -> str:
    """On which side of the threshold the model's probability lies, and what the reader says instead."""
    if finding.score is None or finding.threshold is None:
        return ""
    side = f"{'above' if finding.score >= finding.threshold else 'below'} threshold {finding.threshold:.2f}"
    if finding.present is None:
        return side
    return f"{'present' if finding.present else 'absent'}, says the reader; the model: {side}"


def box_size(box: VoxelBox, grid: Grid) -> str:
    """How large a box is: across, down and through the slices in mm, or across and down in pixels."""
    sizes = [stop - start for start, stop in zip(box[:3], box[3:], strict=True)]
    if not grid.calibrated:
        return f"{sizes[2]} × {sizes[1]} pixels"
    k, j, i = (size * spacing for size, spacing in zip(sizes, grid.spacing, strict=True))
    return f"{i:.0f} × {j:.0f} × {k:.0f} mm" if grid.oriented else f"{i:.0f} × {j:.0f} mm"


def classes_text(finding: Finding) -> str:
    """The probability of each class, the greatest first."""
    ranked = sorted(finding.classes, key=lambda named: -named[1])
    return "   ".join(f"{label} {probability:.2f}" for label, probability in ranked)


def source_text(finding: Finding) -> str:
    """Who made it and who changed it."""
    verbs = [act for act in finding.acts if act.verb not in _VERDICTS]
    editor = verbs[-1].reader.name if verbs else ""
    if finding.source is not None:
        return read_text(finding, finding.source, editor)
    if finding.model is None:
        return f"{'measured' if finding.measurement is not None else 'drawn'} by {editor}"
    model = f"{finding.model.name} {finding.model.version}"
    if editor and (finding.changed or finding.begun or finding.original is not None):
        return f"{model}, edited by {editor}"
    last = finding.acts[-1] if finding.acts else None
    if last is None or last.verb == "restore":
        return model
    reason = f": {finding.reason}" if finding.reason else ""
    return f"{model}, by {last.reader.name}{reason}"


def read_text(finding: Finding, source: ObjectSource, editor: str) -> str:
    """The object that a finding was read from, its algorithm, who judged it, and what was said or lost with it."""
    parts = [f"from {source.title}"]
    if source.date.isdigit() and len(source.date) == 8:
        parts[0] += f", {source.date[:4]}-{source.date[4:6]}-{source.date[6:]}"
    if finding.model is not None:
        parts.append(f"made by {finding.model.name} {finding.model.version}".strip())
    if editor and finding.original is not None:
        parts.append(f"edited by {editor}")
    elif finding.acts and finding.acts[-1].verb != "restore":
        reason = f": {finding.reason}" if finding.reason else ""
        parts.append(f"by {finding.acts[-1].reader.name}{reason}")
    said = [f"{name}: {value}" for name, value in source.said]
    return "\n".join(filter(None, [", ".join(parts), source.remark, *said]))
