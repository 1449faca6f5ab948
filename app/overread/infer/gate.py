"""The gate: outside of what a model was made for it does not run, and the reader is told why."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from overread.domain.geometry import Plane, plane_axes
from overread.domain.study import Stack
from overread.infer.manifest import ModelSpec

_MODALITIES = {
    "CR": "X-ray",
    "CT": "CT",
    "DX": "X-ray",
    "MG": "mammography",
    "MR": "MR",
    "OP": "eye photography",
    "PT": "PET",
    "US": "ultrasound",
    "XC": "photography",
}
# Positions are written with few digits: a limit is not missed by less than this, mm or degrees.
_ROUNDING = 1e-3


def refusal(spec: ModelSpec, stack: Stack, study: Iterable[Stack] = ()) -> str:
    """Why the model does not read this stack, in one plain sentence; "" where it does.

    `study` are the stacks among which the other series are looked for that the model reads together with this one.
    """
    reason = _reason(spec, stack) or _lacking(spec, stack, study)
    return f"{spec.name} does not read this series: {reason}." if reason else ""


def partners(spec: ModelSpec, stack: Stack, study: Iterable[Stack]) -> dict[str, Stack]:
    """The other series that the model reads together with this one, by role, as far as the study has them.

    Of several series of one role the one in the same frame of reference, then the finest, then the first is taken.
    """
    whose = stack.identity
    own = [
        other
        for other in study
        if (other.identity.person, other.identity.study_uid) == (whose.person, whose.study_uid)
        and other.measurable
        and other.encoding.samples == 1
        and (not other.body_part or not stack.body_part or other.body_part == stack.body_part)
    ]

    def worth(other: Stack) -> tuple[bool, float, int]:
        elsewhere = other.identity.frame_of_reference_uid != whose.frame_of_reference_uid
        return elsewhere, round(other.grid.voxel_mm3, 6), other.identity.series_number or 0

    wanted = [each.role for each in spec.inputs if each.role != stack.role]
    fitting = {role: sorted((other for other in own if other.role == role), key=worth) for role in wanted}
    return {role: found[0] for role, found in fitting.items() if found}


def _lacking(spec: ModelSpec, stack: Stack, study: Iterable[Stack]) -> str:
    there = partners(spec, stack, study)
    lacking = [each.role for each in spec.inputs if each.role not in (stack.role, *there)]
    if not lacking:
        return ""
    roles = [each.role for each in spec.inputs]
    return (
        f"the model reads {', '.join(roles[:-1])} and {roles[-1]} together, the study has no {' and no '.join(lacking)}"
    )


def _reason(spec: ModelSpec, stack: Stack) -> str:
    gate, modality = spec.gate, stack.identity.modality
    if gate.modality and modality not in gate.modality:
        wanted = " or ".join(dict.fromkeys(_MODALITIES.get(name, name) for name in gate.modality))
        return f"it is {_MODALITIES.get(modality, modality or 'of no modality')}, the model reads {wanted}"
    if gate.role and stack.role not in gate.role:
        wanted = " or ".join(gate.role)
        seen = f"it is {stack.role}" if stack.role else "its header does not say which sequence it is"
        return f"{seen}, the model reads {wanted}"
    if gate.body_part and stack.body_part and stack.body_part not in gate.body_part:
        return f"it shows {stack.body_part.lower()}, the model reads {' or '.join(gate.body_part).lower()}"
    colour = stack.encoding.samples > 1 or stack.encoding.photometric == "PALETTE COLOR"
    if colour != (spec.prepare.channels == "rgb"):
        return "it is in colour" if colour else "it is grey, the model reads colour"
    if spec.asks_mm and not stack.measurable:
        text = next((p.text for p in stack.problems if not p.measurable), "It has no place in the patient.")
        return text[0].lower() + text[1:].rstrip(".")  # a problem's text is a sentence; here it is a part of one
    return _geometry(spec, stack)


def _geometry(spec: ModelSpec, stack: Stack) -> str:
    gate, grid = spec.gate, stack.grid
    axes = plane_axes(grid, spec.prepare.plane)
    count = grid.shape[axes.through]
    if not gate.slices[0] <= count <= gate.slices[1]:
        slices = f"{spec.prepare.plane.value} slice" if grid.oriented else "image"
        wanted = f"{gate.slices[0]} to {gate.slices[1]}" if gate.slices[0] < gate.slices[1] else f"{gate.slices[0]}"
        return f"it has {count} {slices}{'s' if count != 1 else ''}, the model wants {wanted}"
    if not gate.asks_mm:
        return ""
    for limits, axis, what in (
        (gate.in_plane_mm, axes.down, "pixels"),
        (gate.in_plane_mm, axes.across, "pixels"),
        (gate.between_slices_mm, axes.through, "slices"),
    ):
        spacing = grid.spacing[axis]
        if not limits[0] - _ROUNDING <= spacing <= limits[1] + _ROUNDING:
            return f"its {what} are {spacing:.4g} mm apart, the model wants {limits[0]:g} to {limits[1]:g} mm"
    body = {Plane.SAGITTAL: 0, Plane.CORONAL: 1, Plane.AXIAL: 2}[spec.prepare.plane]
    # Where the stack is sheared (gantry tilt) the slices lean though the step from one to the next does not.
    normal = np.cross(grid.directions[:, axes.down], grid.directions[:, axes.across])
    tilt = float(np.degrees(np.arccos(np.clip(abs(normal[body]) / np.linalg.norm(normal), 0, 1))))
    if tilt > gate.tilt_deg + _ROUNDING:
        return f"its slices are tilted by {tilt:.1f}°, the model wants at most {gate.tilt_deg:g}°"
    return ""
