"""Heatmaps as products: parametric maps where the image lies in the patient, captures with a colour bar where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import highdicom as hd

from overread.dicom.check_pm import check_pm
from overread.dicom.check_sc import check_capture, one_series
from overread.dicom.product import Parcel, Product
from overread.dicom.write_pm import derivation, lattice, write_pm
from overread.dicom.write_sc import write_key_picture
from overread.domain.finding import Finding
from overread.domain.heatmap import Heatmap
from overread.domain.reasons import heatmaps
from overread.domain.study import Stack
from overread.session.pictures import Picture, key_pictures


def _placed(stack: Stack, finding: Finding) -> list[Heatmap]:
    """The maps of a finding that have a place in DICOM: those along slices, and across them where these are upright."""
    return [heatmap for heatmap in heatmaps(finding) if not stack.grid.oriented or lattice(heatmap, stack.grid).square]


def _refuse(stack: Stack, finding: Finding) -> str:
    if _placed(stack, finding):
        return ""
    if heatmaps(finding):
        return "Its slices are sheared, so a heatmap across them has no place in DICOM."
    if finding.reasons:
        return "It was redrawn after its heatmap was asked for: ask again."
    return "It has no heatmap."


def _maps(parcel: Parcel) -> Iterator[tuple[Finding, Heatmap]]:
    return ((finding, heatmap) for finding in parcel.findings for heatmap in _placed(parcel.stack, finding))


def _captures(parcel: Parcel) -> Iterator[tuple[Picture, Heatmap]]:
    pictures = key_pictures(parcel.volume, parcel.findings, parcel.window)
    return ((picture, picture.heatmap) for picture in pictures if picture.heatmap is not None)


def _write(parcel: Parcel) -> list[Path]:
    series, written = hd.UID(), []
    if parcel.stack.grid.oriented:
        for number, (finding, heatmap) in enumerate(_maps(parcel), start=1):
            made = write_pm(parcel.headers, finding, heatmap, parcel.reader, series, parcel.number, number)
            written.append(parcel.save(made, f"{number:02d}"))
        return written
    for number, (picture, heatmap) in enumerate(_captures(parcel), start=1):
        said = derivation(picture.finding, heatmap, parcel.stack.grid)
        capture = write_key_picture(
            parcel.headers,
            picture.pixels,
            picture.index,
            said,
            series,
            parcel.number,
            number,
            edges=picture.edges,
            aspect=picture.aspect,
        )
        written.append(parcel.save(capture, f"{number:02d}"))
    return written


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    if parcel.stack.grid.oriented:
        pairs = zip(paths, _maps(parcel), strict=True)
        one_series([check_pm(path, parcel.headers, finding, heatmap) for path, (finding, heatmap) in pairs])
        return
    captures = zip(paths, _captures(parcel), strict=True)
    one_series([check_capture(path, parcel.headers, p.pixels, p.index, in_place=False) for path, (p, _) in captures])


PM = Product("pm", "Heatmaps (parametric map)", _write, _check, _refuse)
