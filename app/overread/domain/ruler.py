"""What a millimetre on an image is: one in the patient, one at the detector, or nothing but a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scale(StrEnum):
    """What lengths on an image are lengths of (PS3.3 10.7.1.3)."""

    PATIENT = "patient"
    CALIBRATED = "calibrated"
    MAGNIFICATION = "magnification"
    DETECTOR = "detector"
    NONE = "none"

    @property
    def remark(self) -> str:
        """What has to stand beside a length; "" where a millimetre is one in the patient."""
        return _REMARKS[self]


_REMARKS = {
    Scale.PATIENT: "",
    Scale.CALIBRATED: "calibrated",
    Scale.MAGNIFICATION: "by estimated magnification",
    Scale.DETECTOR: "at detector",
    Scale.NONE: "no spacing",
}


@dataclass(frozen=True)
class Ruler:
    """How lengths within a slice are measured. `mm` is the height and width of a pixel; None leaves that to the grid.

    Where the scale is NONE there are no millimetres, and lengths are counted in pixels.
    """

    scale: Scale = Scale.PATIENT
    mm: tuple[float, float] | None = None
