"""Documents as products: what needs to know how a reader looks at an image, or which slice shows a finding best."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pydicom

from overread.dicom.check_gsps import check_gsps, no_presentation
from overread.dicom.check_ko import check_ko
from overread.dicom.check_pdf import check_pdf
from overread.dicom.product import Parcel, Product, require
from overread.dicom.write_gsps import write_gsps
from overread.dicom.write_ko import write_ko
from overread.dicom.write_pdf import write_pdf
from overread.domain.finding import Finding, Kind
from overread.domain.study import Stack, Window
from overread.session.pictures import key_pictures, key_slice, window_of
from overread.session.presets import opening_window
from overread.session.report import report


def _window(parcel: Parcel) -> Window:
    """The window that the reader sees, else the one that the series opens with."""
    window = parcel.window or opening_window(parcel.stack)
    colour = parcel.stack.encoding.samples == 3
    return window if window.width > 0 or colour else window_of(parcel.volume)


def _write_gsps(parcel: Parcel) -> list[Path]:
    states = write_gsps(parcel.stack, parcel.headers, parcel.findings, parcel.reader, parcel.number, _window(parcel))
    if len(states) == 1:
        return [parcel.save(states[0])]
    return [parcel.save(state, f"{number:03d}") for number, state in enumerate(states, start=1)]


def _check_gsps(parcel: Parcel, paths: Sequence[Path]) -> None:
    check_gsps(paths, parcel, _window(parcel))


def _slice(stack: Stack, finding: Finding) -> int | None:
    """The acquired slice (k) that shows a finding best; None where none does, or all do."""
    if finding.kind is Kind.CLASSIFICATION and finding.heatmap is None and len(stack.frames) > 1:
        return None
    return key_slice(finding, stack.grid)


def _no_slice(stack: Stack, finding: Finding) -> str:
    return "No single slice of the series shows it." if _slice(stack, finding) is None else ""


def _slices(parcel: Parcel) -> list[int]:
    found = [_slice(parcel.stack, finding) for finding in parcel.findings]
    return [k for k in found if k is not None]


def _write_ko(parcel: Parcel) -> list[Path]:
    return [parcel.save(write_ko(parcel.headers, parcel.findings, _slices(parcel), parcel.reader, parcel.number))]


def _check_ko(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    check_ko(path, parcel, _slices(parcel))


def _report(parcel: Parcel, when: datetime | None) -> bytes:
    return report(parcel, list(key_pictures(parcel.volume, parcel.findings, parcel.window)), when)


def _write_pdf(parcel: Parcel) -> list[Path]:
    when = None if parcel.nameless else datetime.now().replace(microsecond=0)
    return [parcel.save(write_pdf(parcel, _report(parcel, when), when))]


def _check_pdf(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    written = pydicom.dcmread(path, specific_tags=["ContentDate", "ContentTime"])
    stated = f"{written.ContentDate or ''}{written.ContentTime or ''}"
    when = datetime.strptime(stated, "%Y%m%d%H%M%S") if stated else None
    require((when is None) == parcel.nameless, "it says when it was made, or does not, as was not meant")
    check_pdf(path, parcel, _report(parcel, when))


GSPS = Product("gsps", "Presentation state (GSPS)", _write_gsps, _check_gsps, no_presentation, notes=True)
KO = Product("ko", "Key slices (key object selection)", _write_ko, _check_ko, _no_slice)
PDF = Product(
    "pdf", "Report (PDF)", _write_pdf, _check_pdf, lambda stack, finding: "", tells_rejected=True, opaque=True
)
