"""Pictures as products: key pictures and whole series as DICOM captures, key pictures as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from imagecodecs import png_decode

from overread.dicom.check_sc import check_capture, one_series
from overread.dicom.product import Parcel, Product, require
from overread.dicom.write_sc import write_key_picture, write_series_picture
from overread.domain.finding import Finding, Kind, Status
from overread.domain.heatmap import Heatmap
from overread.domain.study import Stack
from overread.render.burned import png
from overread.session.pictures import Picture, heat_text, key_pictures, key_slice, note_on, series_pictures
from overread.session.research import nameless

_STATUS = {Status.ACCEPTED: "accepted as proposed", Status.EDITED: "accepted after editing"}


def _no_slice(stack: Stack, finding: Finding) -> str:
    """Why a finding has no key picture."""
    return "It lies on no acquired slice." if key_slice(finding, stack.grid) is None else ""


def _nothing_drawn(stack: Stack, finding: Finding) -> str:
    """Why a finding cannot be seen in a whole series."""
    if finding.kind is Kind.CLASSIFICATION:
        return "It speaks of the image as a whole, so there is nothing to draw."
    return _no_slice(stack, finding)


def _pictures(parcel: Parcel) -> Iterator[Picture]:
    return key_pictures(parcel.volume, parcel.findings, parcel.window)


def _derivation(findings: Sequence[Finding], parcel: Parcel, heatmap: Heatmap | None = None) -> str:
    """What is on a picture, in words: findings, what became of them, a map where one is, the models, the reader."""
    said = [f"{finding.title} ({_STATUS[finding.status]})" for finding in findings]
    models = dict.fromkeys(f"{f.model.id} {f.model.version}" for f in findings if f.model is not None)
    by = f" Models: {', '.join(models)}." if models else ""
    heat = "" if heatmap is None else f" Heatmap: {heat_text(heatmap, parcel.stack.grid).replace('×', 'x')}."
    return f"{note_on(findings)}. Burned in: {', '.join(said)}.{heat}{by} Reader: {parcel.reader.name}."


def _write_sc(parcel: Parcel) -> list[Path]:
    series, written = hd.UID(), []
    for number, picture in enumerate(_pictures(parcel), start=1):
        capture = write_key_picture(
            parcel.headers,
            picture.pixels,
            picture.index,
            _derivation([picture.finding], parcel, picture.heatmap),
            series,
            parcel.number,
            number,
            edges=picture.edges,
            aspect=picture.aspect,
        )
        written.append(parcel.save(capture, f"{number:02d}"))
    return written


def _check_sc(parcel: Parcel, paths: Sequence[Path]) -> None:
    pairs = zip(paths, _pictures(parcel), strict=True)
    one_series(
        [check_capture(path, parcel.headers, picture.pixels, picture.index, in_place=False) for path, picture in pairs]
    )


def _write_series(parcel: Parcel) -> list[Path]:
    series, written = hd.UID(), []
    derivation = _derivation(parcel.findings, parcel)
    for k, pixels in enumerate(series_pictures(parcel.volume, parcel.findings, parcel.window)):
        slice_ = write_series_picture(parcel.headers, pixels, k, derivation, series, parcel.number)
        written.append(parcel.save(slice_, f"{k + 1:04d}"))
    return written


def _check_series(parcel: Parcel, paths: Sequence[Path]) -> None:
    pictures = series_pictures(parcel.volume, parcel.findings, parcel.window)
    pairs = enumerate(zip(paths, pictures, strict=True))
    one_series([check_capture(path, parcel.headers, pixels, k, in_place=True) for k, (path, pixels) in pairs])


def _write_png(parcel: Parcel) -> list[Path]:
    written = []
    for number, picture in enumerate(_pictures(parcel), start=1):
        path = nameless(parcel, "png", f"{number:02d}")
        path.write_bytes(png(picture.pixels))
        written.append(path)
    return written


def _check_png(parcel: Parcel, paths: Sequence[Path]) -> None:
    for path, picture in zip(paths, _pictures(parcel), strict=True):
        read = png_decode(path.read_bytes())
        require(np.array_equal(read, picture.pixels), "its pixels are not those that were composed")


SC = Product("sc", "Key pictures (secondary capture)", _write_sc, _check_sc, _no_slice)
SC_SERIES = Product(
    "sc-series", "The whole series with outlines (secondary capture)", _write_series, _check_series, _nothing_drawn
)
PNG = Product("png", "Key pictures (PNG)", _write_png, _check_png, _no_slice, opaque=True)
