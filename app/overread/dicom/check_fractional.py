"""Probabilities among the products: which findings have them, and how they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from highdicom.seg import SegmentationTypeValues as Types

from overread.dicom.check_seg import check_seg, without_outline
from overread.dicom.product import Parcel, Product, require
from overread.dicom.write_fractional import batches, stated, write_fractional
from overread.domain.finding import Finding
from overread.domain.probability import LARGEST
from overread.domain.study import Stack


def without_probabilities(stack: Stack, finding: Finding) -> str:
    """Why there are no probabilities of a finding to write, "" where there are."""
    if finding.probabilities is not None:
        return without_outline(stack, finding)
    if finding.model is None:
        return "No model drew it, so nobody gave probabilities of it."
    return f"No probabilities of it were kept: its model gives none, or its box has more than {LARGEST:,} voxels."


def _write(parcel: Parcel) -> list[Path]:
    return [
        parcel.save(
            write_fractional(parcel.stack, parcel.headers, batch, parcel.reader, parcel.number),
            f"part {number}" if number > 1 else "",
        )
        for number, batch in enumerate(batches(parcel.stack, parcel.findings), start=1)
    ]


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    wanted = batches(parcel.stack, parcel.findings)
    require(len(paths) == len(wanted), "another number of files")
    for path, batch in zip(paths, wanted, strict=True):
        written = pydicom.dcmread(path)
        require(written.get("SegmentationFractionalType") == "PROBABILITY", "another kind of fractions")
        require(written.get("MaximumFractionalValue") == 255, "another value stands for certainty")
        check_seg(written, parcel.headers, [stated(finding) for finding in batch], Types.FRACTIONAL)


FRACTIONAL = Product(
    "fractional", "Probabilities (SEG FRACTIONAL)", _write, _check, without_probabilities, straight=True
)
