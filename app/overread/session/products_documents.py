"""Documents as products: what needs to know how a reader looks at an image, or which slice shows a finding best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overread.dicom.check_gsps import check_gsps, no_presentation
from overread.dicom.product import Parcel, Product
from overread.dicom.write_gsps import write_gsps
from overread.domain.study import Window
from overread.session.pictures import window_of
from overread.session.presets import opening_window


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


GSPS = Product("gsps", "Presentation state with the annotations (GSPS)", _write_gsps, _check_gsps, no_presentation)
