"""From files to voxels."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from overread.commands.benchmarks.rows import Row, alternately, milliseconds
from overread.commands.benchmarks.series import FLAIR, series, stack_of
from overread.dicom.load import empty_volume, load, loaded
from overread.dicom.scan import scanned

_SLICES, _RUNS = 200, 7


def series_load(scratch: Path) -> list[Row]:
    """Scan and load a whole series, against SimpleITK with GDCM file names (it reads the headers too)."""
    folder = series(scratch, FLAIR, _SLICES)

    def ours() -> object:
        return loaded(next(scanned((folder,), folder).stacks))

    def peer() -> object:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        return reader.Execute()

    mine, others = alternately(ours, peer, _RUNS)
    return [
        Row(
            "series-load",
            "ms",
            mine,
            f"{_SLICES} × 512² int16 uncompressed, files warm, headers and voxels",
            "SimpleITK GDCM series",
            others,
        )
    ]


def first_slice(scratch: Path) -> list[Row]:
    """The slice in view, from the moment a series is chosen."""
    folder = series(scratch, FLAIR, _SLICES)
    stack = stack_of(folder)

    def one(n: int) -> None:
        _, voxels = empty_volume(stack)
        arrivals = load(stack, voxels, lambda: _SLICES // 2)
        next(arrivals)
        arrivals.close()

    return [Row("first-slice", "ms", milliseconds(one, 20), f"middle of {_SLICES} × 512², files warm", limit=150.0)]
