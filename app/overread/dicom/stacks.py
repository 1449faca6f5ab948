"""Facts of frames → stacks: which slices form one image, in which order, on which grid, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from overread.dicom.headers import FrameFacts
from overread.domain.geometry import Floats, Grid
from overread.domain.study import Lut, Problem, Stack, Window

# Slices whose places along the normal differ by less than this lie in one place.
_SAME_PLACE_MM = 0.01
# Direction cosines are often written with few digits.
_SAME_DIRECTION = 1e-3
# A step counts as even while steps differ by less than this part of their mean.
_EVEN = 0.01
# Beyond this, volumes in ml would be wrong by more than a reader would accept.
_MEASURABLE = 0.10
_TILT_DEG = 0.5


def stacks(frames: Iterable[FrameFacts]) -> tuple[Stack, ...]:
    """Form the stacks of one series (of one patient), the longest first."""
    groups: list[list[FrameFacts]] = []
    for alike in _alike(frames):
        groups.extend(_one_place_each(alike))
    built = [_stack(group, oriented=group[0].position is not None) for group in groups]
    several = _mixed(built)
    built = [replace(stack, problems=(*stack.problems, several)) if several else stack for stack in built]
    return tuple(sorted(built, key=lambda stack: -len(stack.frames)))


def _alike(frames: Iterable[FrameFacts]) -> list[list[FrameFacts]]:
    """Frames of the same size, encoding, pixel spacing and direction, in separate lists."""
    groups: list[list[FrameFacts]] = []
    for facts in frames:
        for group in groups:
            if _matches(group[0], facts):
                group.append(facts)
                break
        else:
            groups.append([facts])
    return groups


def _matches(one: FrameFacts, other: FrameFacts) -> bool:
    same = (
        one.encoding == other.encoding
        and one.sop_class_uid == other.sop_class_uid
        and one.identity.frame_of_reference_uid == other.identity.frame_of_reference_uid
        and (one.position is None) == (other.position is None)
        and (one.orientation is None) == (other.orientation is None)
        and (one.spacing is None) == (other.spacing is None)
        and _same_table(one.modality_lut, other.modality_lut)
    )
    if not same:
        return False
    if one.position is None and one.frame.path != other.frame.path:
        return False  # pictures without a place (radiographs, ultrasound) do not stack across files
    if one.spacing is not None and not np.allclose(one.spacing, other.spacing or (), rtol=1e-4):
        return False
    return one.orientation is None or bool(
        np.abs(np.array(one.orientation) - np.array(other.orientation)).max() < _SAME_DIRECTION
    )


def _same_table(one: Lut | None, other: Lut | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.first == other.first and np.array_equal(one.values, other.values)


def _one_place_each(frames: list[FrameFacts]) -> list[list[FrameFacts]]:
    """Split frames that share places (echoes, b-values, phases) so that each list has one frame a place."""
    if frames[0].position is None or frames[0].orientation is None:
        return [sorted(frames, key=lambda facts: (facts.number, facts.frame.index))]
    places = _places(frames)
    layers = max(Counter(places).values())
    if layers == 1:
        return [frames]
    for name, _ in frames[0].split:
        parts: dict[float, list[FrameFacts]] = defaultdict(list)
        for facts in frames:
            parts[round(dict(facts.split).get(name, -1.0), 3)].append(facts)
        # What has a value of its own on every slice (a trigger time, say) tells no images apart.
        if 1 < len(parts) <= layers and max(max(Counter(_places(part)).values()) for part in parts.values()) < layers:
            return [alike for value in sorted(parts) for alike in _one_place_each(parts[value])]
    # Nothing in the headers tells them apart: the first of each place, the second of each place, and so on.
    split: dict[int, list[FrameFacts]] = defaultdict(list)
    taken: Counter[int] = Counter()
    ordered = sorted(zip(places, frames, strict=True), key=lambda pair: (pair[1].number, pair[1].frame.index))
    for place, facts in ordered:
        split[taken[place]].append(facts)
        taken[place] += 1
    return list(split.values())


def _normal(orientation: Sequence[float]) -> Floats:
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal))


def _places(frames: Sequence[FrameFacts]) -> list[int]:
    """A number for the place of each frame along the normal; frames in one place get the same."""
    normal = _normal(frames[0].orientation or ())
    along = np.array([np.dot(normal, facts.position or (0, 0, 0)) for facts in frames])
    order = np.argsort(along, kind="stable")
    numbers = np.empty(len(frames), int)
    numbers[order] = np.cumsum(np.diff(along[order], prepend=along[order[0]]) > _SAME_PLACE_MM)
    return [int(number) for number in numbers]


def _stack(frames: list[FrameFacts], oriented: bool) -> Stack:
    problems: list[Problem] = []
    first = frames[0]
    if oriented and first.orientation is not None:
        normal = _normal(first.orientation)
        frames = sorted(frames, key=lambda facts: float(np.dot(normal, facts.position or (0, 0, 0))))
        first = frames[0]
        grid = _grid(frames, normal, problems)
    else:
        down, across = first.spacing or (1.0, 1.0)
        affine = np.diag([1.0, down, across, 1.0])
        shape = (len(frames), first.encoding.rows, first.encoding.columns)
        grid = Grid(shape, affine, oriented=False, calibrated=first.spacing is not None)
        if len(frames) == 1 and first.spacing is None:
            problems.append(
                Problem("not-calibrated", "No pixel spacing: lengths cannot be given in mm.", measurable=False)
            )
        elif len(frames) > 1:
            problems.append(Problem("no-position", "Frames without a place in the patient.", measurable=False))
    if first.mosaic:
        problems.append(Problem("mosaic", "A Siemens mosaic: many slices tiled into one picture.", measurable=False))
    lossy = next((facts.lossy for facts in frames if facts.lossy), "")
    if lossy:
        problems.append(Problem("lossy", f"Compressed with loss ({lossy})."))
    return Stack(
        uid=_uid(frames),
        identity=first.identity,
        grid=grid,
        frames=tuple(facts.frame for facts in frames),
        encoding=first.encoding,
        sop_class_uid=first.sop_class_uid,
        units=first.units,
        role=first.role,
        body_part=first.body_part,
        lossy=lossy,
        synthetic=any(facts.synthetic for facts in frames),
        padding=first.padding,
        windows=_common_windows(frames),
        voi_lut=first.voi_lut,
        modality_lut=first.modality_lut,
        problems=tuple(problems),
        ruler=first.ruler,
    )


def _uid(frames: Sequence[FrameFacts]) -> str:
    """The stack's identity: patient, series and every frame in order."""
    digest = hashlib.sha256("\n".join((*frames[0].patient, frames[0].series)).encode("utf-8", "surrogatepass"))
    for facts in frames:
        named = facts.frame.sop_instance_uid or f"{facts.frame.path} {facts.frame.stamp}"
        digest.update(f"\n{named}/{facts.frame.index}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _common_windows(frames: Sequence[FrameFacts]) -> tuple[Window, ...]:
    """The windows of the middle slice: MR scanners write another one into each slice."""
    return frames[len(frames) // 2].windows


def _grid(frames: Sequence[FrameFacts], normal: Floats, problems: list[Problem]) -> Grid:
    """The grid through the first and the last slice (PS3.3 C.7.6.2.1.1), and what deviates from it."""
    first = frames[0]
    row = np.array(first.orientation[:3] if first.orientation else (1, 0, 0))
    column = np.array(first.orientation[3:] if first.orientation else (0, 1, 0))
    row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
    if abs(float(np.dot(row, column))) > 1e-3:
        problems.append(Problem("not-orthogonal", "Rows and columns are not at right angles.", measurable=False))
    down, across = first.spacing or (1.0, 1.0)
    if first.spacing is None:
        problems.append(Problem("not-calibrated", "No pixel spacing: lengths cannot be given in mm.", measurable=False))
    positions = np.array([facts.position for facts in frames], dtype=np.float64)
    if len(frames) > 1:
        step = (positions[-1] - positions[0]) / (len(frames) - 1)
        problems.extend(_step_problems(positions, normal, step))
    else:
        if first.thickness is None:
            text = "One slice without a thickness: volumes cannot be given."
            problems.append(Problem("no-thickness", text, measurable=False))
        step = normal * (first.thickness or 1.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = step, column * down, row * across, positions[0]
    shape = (len(frames), first.encoding.rows, first.encoding.columns)
    return Grid(shape, affine, oriented=True, calibrated=first.spacing is not None)


def _step_problems(positions: Floats, normal: Floats, step: Floats) -> list[Problem]:
    problems: list[Problem] = []
    steps = np.diff(positions @ normal)
    mean = float(steps.mean())
    spread = float(steps.max() - steps.min())
    cosine = float(np.dot(step, normal) / np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    if tilt > _TILT_DEG:
        problems.append(Problem("gantry-tilt", f"Gantry tilt: slices are sheared by {tilt:.1f}° along the stack."))
    usual = float(np.median(steps))
    multiples = np.rint(steps / usual) if usual > 0 else np.ones_like(steps)
    missing = int((multiples - 1).clip(min=0).sum())
    on_lattice = bool(np.abs(steps - multiples * usual).max() <= _EVEN * usual) if usual > 0 else False
    if missing and on_lattice:
        slices = "1 slice is" if missing == 1 else f"{missing} slices are"
        text = f"{slices} missing: gaps of {steps.max():.2f} mm among steps of {usual:.2f} mm."
        problems.append(Problem("missing-slices", text, measurable=False))
    elif spread > _EVEN * mean:
        text = f"Uneven slices: {steps.min():.2f} to {steps.max():.2f} mm apart."
        problems.append(Problem("variable-spacing", text, measurable=spread <= _MEASURABLE * mean))
    ideal = positions[0] + np.arange(len(positions))[:, None] * step
    across = positions - ideal - ((positions - ideal) @ normal)[:, None] * normal
    drift = float(np.linalg.norm(across, axis=1).max())
    if drift > 0.5 and tilt <= _TILT_DEG:
        problems.append(Problem("drift", f"Slices are shifted sideways by up to {drift:.1f} mm.", measurable=False))
    return problems


def _mixed(built: Sequence[Stack]) -> Problem | None:
    """What to say where one series holds several images."""
    if len(built) < 2:
        return None
    directions = {tuple(np.round(stack.grid.directions[:, 0], 2)) for stack in built if stack.grid.oriented}
    if len(directions) > 1:
        return Problem("mixed-orientation", f"The series holds {len(built)} images in several directions.")
    return Problem("several-images", f"The series holds {len(built)} images that do not form one stack.")
