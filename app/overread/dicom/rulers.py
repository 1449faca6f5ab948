"""What the millimetres of an image are, from its header. No silent fallback: what a length is of stands beside it."""

from __future__ import annotations

from overread.domain.ruler import Ruler, Scale

# Shadows: something is the larger on the detector, the farther it is from it.
PROJECTIONS = frozenset({"CR", "DX", "DR", "RG", "RF", "XA", "MG", "PX", "IO"})
# Spacings that differ by less are the same, written with other digits.
_SAME = 1e-3

Pair = tuple[float, float]


def ruler(
    modality: str,
    spacing: Pair | None,
    at_detector: Pair | None,
    calibration: str,
    magnification: float | None,
) -> Ruler:
    """What lengths within a slice are lengths of (PS3.3 10.7.1.3, C.8.11.7.1.1).

    `spacing` is Pixel Spacing, `at_detector` Imager Pixel Spacing, `calibration` Pixel Spacing Calibration Type and
    `magnification` Estimated Radiographic Magnification Factor. In a projection a Pixel Spacing without a calibration
    type that is no other than that of the detector is that of the detector.
    """
    if modality not in PROJECTIONS:
        return Ruler(Scale.PATIENT if spacing is not None else Scale.NONE)
    if spacing is not None and (calibration in ("GEOMETRY", "FIDUCIAL") or _differ(spacing, at_detector)):
        return Ruler(Scale.CALIBRATED, spacing)
    plain = at_detector or spacing
    if plain is None:
        return Ruler(Scale.NONE)
    if magnification is not None and magnification > 0:
        return Ruler(Scale.MAGNIFICATION, (plain[0] / magnification, plain[1] / magnification))
    return Ruler(Scale.DETECTOR, plain)


def _differ(spacing: Pair, at_detector: Pair | None) -> bool:
    if at_detector is None:
        return False
    return any(abs(one / other - 1) > _SAME for one, other in zip(spacing, at_detector, strict=True))
