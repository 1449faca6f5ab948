"""The grey series with the findings brightest, for navigation systems, as a product."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom

from overread.dicom.check_sc import derived_from, lies, one_series, same_pixels
from overread.dicom.product import Parcel, Product, require
from overread.dicom.write_fused import CLASSIC, Levels, fused, levels, without_place, write_fused
from overread.domain.study import Window
from overread.session.pictures import note_on, window_of


def _said(parcel: Parcel, marks: Levels) -> str:
    """What the values mean: it is all that tells the series from an image as it came from the scanner."""
    values = ", ".join(f"{f.title} = {value}" for f, value in zip(parcel.findings, marks.values, strict=True))
    return (
        f"{note_on(parcel.findings)}. Findings are set into the image as stored values above all others: {values}; "
        f"threshold {marks.threshold}. The image itself ends at {marks.greatest}. Reader: {parcel.reader.name}."
    )


def _window(parcel: Parcel) -> Window:
    return parcel.window or window_of(parcel.volume)


def _write(parcel: Parcel) -> list[Path]:
    marks, series = levels(parcel.volume, len(parcel.findings)), hd.UID()
    said, window, written = _said(parcel, marks), _window(parcel), []
    for k in range(parcel.stack.grid.shape[0]):
        pixels = fused(parcel.volume, parcel.findings, k, marks)
        image = write_fused(parcel.headers, pixels, k, window, marks, said, series, parcel.number)
        written.append(parcel.save(image, f"{k + 1:04d}"))
    return written


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    """What is no finding is the source's own value, what is one lies at or above the threshold."""
    marks = levels(parcel.volume, len(parcel.findings))
    require(len(paths) == parcel.stack.grid.shape[0], "slices are missing")
    kind, window, images = CLASSIC[parcel.stack.sop_class_uid], _window(parcel), []
    inside = np.zeros(parcel.stack.grid.shape, np.bool_)
    for finding in parcel.findings:
        inside[finding.mask.box] |= finding.mask.inner
    for k, path in enumerate(paths):
        image = pydicom.dcmread(path)
        require(image.SOPClassUID == kind, "it is another kind of image")
        pixels = image.pixel_array
        require(np.array_equal(pixels >= marks.threshold, inside[k]), "a threshold would cut out something else")
        same = np.array_equal(pixels[~inside[k]], parcel.volume.voxels[k][~inside[k]])
        require(same, "the image beside the findings is not the source's")
        same_pixels(image, fused(parcel.volume, parcel.findings, k, marks))
        derived_from(image, parcel.headers, [k])
        lies(image, parcel.headers, k, in_place=True)
        require(np.allclose([image.WindowCenter, image.WindowWidth], [window.center, window.width]), "another window")
        require(image.LargestPixelValueInSeries == marks.values[-1], "its largest value is another")
        require(image.PhotometricInterpretation == parcel.stack.encoding.photometric, "it is shown the other way round")
        frame = parcel.stack.frames[k]
        scale = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
        require(np.allclose(scale, (frame.slope, frame.intercept)), "its values mean something else")
        require(all(finding.title in image.ImageComments for finding in parcel.findings), "it does not say what is set")
        images.append(image)
    one_series(images)


FUSED = Product("fused", "Grey series, findings brightest (navigation)", _write, _check, without_place, straight=True)
