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
from overread.domain.study import Stack
from overread.session.pictures import Picture, key_pictures


def _refuse(stack: Stack, finding: Finding) -> str:
    if finding.heatmap is None:
        return "It has no heatmap."
    if stack.grid.oriented and not lattice(finding.heatmap, stack.grid).square:
        return "Its slices are sheared, so a heatmap across them has no place in DICOM."
    return ""


def _maps(parcel: Parcel) -> Iterator[tuple[Finding, Heatmap]]:
    return ((finding, finding.heatmap) for finding in parcel.findings if finding.heatmap is not None)


def _captures(parcel: Parcel) -> Iterator[Picture]:
    return key_pictures(parcel.volume, parcel.findings, parcel.window)


def _write(parcel: Parcel) -> list[Path]:
    series, written = hd.UID(), []
    if parcel.stack.grid.oriented:
        for number, (finding, heatmap) in enumerate(_maps(parcel), start=1):
            made = write_pm(parcel.headers, finding, heatmap, parcel.reader, series, parcel.number, number)
            written.append(parcel.save(made, f"{number:02d}"))
        return written
    for number, ((finding, heatmap), picture) in enumerate(zip(_maps(parcel), _captures(parcel), strict=True), start=1):
        said = derivation(finding, heatmap, parcel.stack.grid)
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
    one_series([check_capture(path, parcel.headers, p.pixels, p.index, in_place=False) for path, p in captures])


PM = Product("pm", "Heatmaps (parametric map)", _write, _check, _refuse)
