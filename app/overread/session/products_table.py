"""The table of measurements, a line a finding, as a product."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from overread.dicom.product import Parcel, Product, require
from overread.domain.finding import Finding
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.imaging.figures import figures
from overread.session.pictures import key_slice
from overread.session.research import nameless


def columns(units: str) -> list[str]:
    """The head of the table of measurements; `units` are those of the image's values, "" where they have none."""
    of = units or "stored values"
    return [
        *("number", "label", "code", "scheme", "meaning", "kind", "status", "reason", "reader", "model"),
        *("model version", "score", "threshold", "slice", "voxels", "volume (ml)", "long axis (mm)", "short axis (mm)"),
        *("largest area (mm2)", "long axis in space (mm)", "short axis in space (mm)"),
        *(f"mean ({of})", f"sd ({of})", f"min ({of})", f"max ({of})", "measured", "tracking uid"),
    ]


def row(finding: Finding, volume: Volume) -> list[str]:
    """A finding in the table of measurements; what is not known is empty. Slices are counted from 1.

    A box is not measured: it says where something is, not how large.
    """
    size, model, judge, k = finding.measures, finding.model, finding.reader, key_slice(finding, volume.grid)
    whole = figures(finding.mask, volume) if finding.mask and not finding.boxed else None
    held = whole.values if whole else None
    measured = finding.measurement.values if finding.measurement else ()
    cells: list[str | float | None] = [
        *(finding.number, finding.label, finding.concept.value, finding.concept.scheme, finding.concept.meaning),
        *(finding.kind.value, finding.status.value, finding.reason, judge.name if judge else ""),
        *(model.id if model else "", model.version if model else "", finding.score, finding.threshold),
        None if k is None else k + 1,
        whole.count if whole else None,
        *((size.volume_ml, size.long_axis_mm, size.short_axis_mm, size.area_mm2) if size else (None,) * 4),
        *((whole.long_3d_mm, whole.short_3d_mm) if whole else (None,) * 2),
        *((held.mean, held.sd, held.minimum, held.maximum) if held else (None,) * 4),
        "; ".join(f"{value.name.meaning} {value.number:g} {value.unit.value}" for value in measured),
        finding.id,
    ]
    return [_cell(cell) for cell in cells]


def _cell(cell: str | float | None) -> str:
    """Numbers to nine digits. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
    return f"{cell:.9g}"


def _table(parcel: Parcel) -> list[list[str]]:
    rows = [row(finding, parcel.volume) for finding in (*parcel.findings, *parcel.rejected)]
    return [columns(parcel.stack.units), *rows]


def _write_csv(parcel: Parcel) -> list[Path]:
    path, text = nameless(parcel, "csv", "findings"), io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(_table(parcel))
    path.write_bytes(text.getvalue().encode("utf-8-sig"))  # with its mark, so that spreadsheets take it for UTF-8
    return [path]


def _check_csv(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    with path.open(encoding="utf-8-sig", newline="") as file:
        require(list(csv.reader(file)) == _table(parcel), "a line differs")


def _anything(stack: Stack, finding: Finding) -> str:
    """Every finding has its line in the table."""
    return ""


CSV = Product("csv", "Table of measurements (CSV)", _write_csv, _check_csv, _anything, tells_rejected=True, opaque=True)
