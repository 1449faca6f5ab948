"""What commands print: one JSON object on stdout for machines, plain lines for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from overread.dicom.export import Written
from overread.domain.finding import Finding, Kind
from overread.domain.geometry import Floats
from overread.domain.study import Stack


def emit(answer: dict[str, Any]) -> None:
    """Print one JSON object, whole or not at all."""
    sys.stdout.write(_json(answer))


def _json(answer: dict[str, Any]) -> str:
    """JSON in ASCII, which every terminal and every file name survives; what JSON cannot say is null or text."""
    return json.dumps(_sayable(answer), indent=2, allow_nan=False, default=str) + "\n"


def _sayable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _sayable(inner) for key, inner in value.items()}
    return [_sayable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def say(*lines: str) -> None:
    """Print lines for people."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def numbers(values: Iterable[float], digits: int = 6) -> list[float]:
    """Plain floats, rounded."""
    return [round(float(value), digits) for value in values]


def finding_answer(finding: Finding, stack: Stack) -> dict[str, Any]:
    """A finding as machine-readable answers give it; `box_mm` are the LPS corners of the voxels' outer edges.

    `threshold` and `positive` stand in classifications alone, `classes` where the model gives probabilities.
    """
    measures = finding.measures
    answer: dict[str, Any] = {
        "id": finding.id,
        "kind": finding.kind,
        "label": finding.label,
        "code": {
            "value": finding.concept.value,
            "scheme": finding.concept.scheme,
            "meaning": finding.concept.meaning,
        },
        "score": finding.score,
        "volume_ml": measures.volume_ml if measures else None,
        "axes_mm": [measures.long_axis_mm, measures.short_axis_mm] if measures else None,
        "box_mm": box_mm(finding, stack) if stack.grid.oriented else None,
        "status": finding.status.value,
    }
    if finding.kind is Kind.CLASSIFICATION:
        answer["threshold"], answer["positive"] = finding.threshold, finding.positive
    if finding.classes:
        answer["classes"] = dict(finding.classes)
    return answer


def files_answer(written: Iterable[Written]) -> list[dict[str, str]]:
    """Exported files as machine-readable answers give them."""
    return [{"path": str(w.path), "kind": w.kind, "sop_instance_uid": w.sop_instance_uid} for w in written]


def box_mm(finding: Finding, stack: Stack) -> list[list[float]] | None:
    """The smallest LPS-aligned box around a finding, [[x, y, z] lowest, [x, y, z] highest], mm.

    None where it speaks of the image as a whole.
    """
    bounds = finding.bounds
    if bounds is None:
        return None
    (k0, j0, i0, k1, j1, i1) = (edge - 0.5 for edge in bounds)
    corners: Floats = stack.grid.to_lps([[k, j, i] for k in (k0, k1) for j in (j0, j1) for i in (i0, i1)])
    return [numbers(corners.min(axis=0), 3), numbers(corners.max(axis=0), 3)]


def write_json(path: Path, answer: dict[str, Any]) -> None:
    """Write a JSON file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(_json(answer), "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
