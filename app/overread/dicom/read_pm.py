"""A Parametric Map (PS3.3 A.75) → its values over the slices that it lies on, and a finding that names them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pixel_array

from overread.dicom.found import Found, blank, code_of, count, remarked
from overread.dicom.places import Places
from overread.dicom.quiet import quiet
from overread.dicom.read_seg import frames
from overread.dicom.values import group_of
from overread.domain.finding import Kind
from overread.domain.geometry import Grid, Plane, nearest, plane_axes
from overread.domain.heatmap import Heatmap
from overread.domain.mark import Drawn, Mark
from overread.domain.study import DerivedObject, Stack
from overread.imaging.plates import Plate

# How a map of values is told from a map of what speaks for a class.
METHOD = "Parametric map"
# More values than this are not held beside the image.
_MOST_BYTES = 512 << 20
# Part of a voxel by which the plane of a map may leave the slice.
_OFF = 0.5


def read_pm(dataset: Dataset, derived: DerivedObject, stack: Stack, places: Places) -> Found:
    """The frames of a map that lie in planes of the stack, in the map's own pixels, and one finding for all of them.

    Frames that lie in none are counted. Values are real ones where the map says how (Real World Value Mapping).
    """
    if not places.oriented:
        return Found(notices=(f"{derived.source.title}: this image has no place in the patient to put values on.",))
    size = 4 * int(dataset.get("NumberOfFrames") or 1) * int(dataset.Rows) * int(dataset.Columns)
    if size > _MOST_BYTES:
        return Found(notices=(f"{derived.source.title} is too large to be shown ({size >> 20} MB of values).",))
    values = _values(dataset)
    label = _quantity(dataset)
    maps: list[Heatmap] = []
    lost = 0
    for frame in frames(dataset):
        seen = None if frame.plate is None else _heatmap(values[frame.index], frame.plate, stack.grid, label, derived)
        maps += [] if seen is None else [seen]
        lost += seen is None
    if not maps:
        return Found(notices=(f"{derived.source.title}: none of its frames lies in a plane of this series.",))
    slices = sorted({seen.index for seen in maps if plane_axes(stack.grid, seen.plane).through == 0})
    middle = stack.grid.shape[0] / 2
    made = blank(
        stack,
        derived,
        "",
        "map",
        1,
        label=label,
        kind=Kind.ANNOTATION,
        marks=tuple(Mark(Drawn.IMAGE, ((float(k), 0.0, 0.0),), label) for k in slices)
        or (Mark(Drawn.IMAGE, ((float(int(middle)), 0.0, 0.0),), label),),
        said=(("Values", f"{float(values.min()):.4g} to {float(values.max()):.4g}"),),
    )
    left = f"{count(lost, 'frame lies', 'frames lie')} in no plane of this series." if lost else ""
    if made.source is not None:
        made = replace(made, source=remarked(made.source, left))
    return Found((made,), maps={made.id: tuple(maps)})


def _values(dataset: Dataset) -> NDArray[np.float32]:
    """All values, shape (frames, rows, columns), float32."""
    with quiet():
        stored = np.asarray(pixel_array(dataset, raw=True), np.float32)
    stored = stored.reshape(-1, int(dataset.Rows), int(dataset.Columns))
    shared = group_of(dataset.get("SharedFunctionalGroupsSequence"), 0) or Dataset()
    mapping = group_of(shared.get("RealWorldValueMappingSequence"), 0)
    if mapping is None or mapping.get("RealWorldValueSlope") is None:
        return stored
    slope, intercept = float(mapping.RealWorldValueSlope), float(mapping.get("RealWorldValueIntercept") or 0)
    return np.asarray(stored * np.float32(slope) + np.float32(intercept), np.float32)


def _quantity(dataset: Dataset) -> str:
    """What the values are, with their unit where they have one."""
    groups = [
        group_of(dataset.get("SharedFunctionalGroupsSequence"), 0),
        group_of(dataset.get("PerFrameFunctionalGroupsSequence"), 0),
    ]
    for group in groups:
        mapping = group_of(group.get("RealWorldValueMappingSequence"), 0) if group is not None else None
        if mapping is None:
            continue
        definitions = mapping.get("QuantityDefinitionSequence") or ()
        meant = next((code_of(item.get("ConceptCodeSequence")) for item in definitions), None)
        name = meant.meaning if meant is not None else str(mapping.get("LUTExplanation") or "").strip()
        unit = code_of(mapping.get("MeasurementUnitsCodeSequence"))
        measured = f" ({unit.value})" if unit is not None and unit.value not in ("1", "") else ""
        if name:
            return f"{name}{measured}"
    return "Values"


def _heatmap(
    values: NDArray[np.float32], plate: Plate, grid: Grid, label: str, derived: DerivedObject
) -> Heatmap | None:
    """A frame over a slice of the grid; None where it does not lie along one."""
    down, across, _ = plate.axes
    first = np.array(plate.position, np.float64)
    rows, columns = plate.size
    spacing = plate.spacing
    corners = [
        first + (row - 0.5) * spacing[0] * down + (column - 0.5) * spacing[1] * across
        for row, column in ((0, 0), (rows, columns))
    ]
    middle = first + ((rows - 1) / 2 * spacing[0]) * down + ((columns - 1) / 2 * spacing[1]) * across
    near, far = grid.to_index(corners[0]), grid.to_index(corners[1])
    for plane in Plane:
        axes = plane_axes(grid, plane)
        at = grid.to_index(middle)
        index = int(nearest(at)[axes.through])
        off = max(abs(float(point[axes.through]) - index) for point in (near, far, at))
        if off > _OFF or not 0 <= index < grid.shape[axes.through]:
            continue
        (row0, column0), (row1, column1) = axes.to_picture(near, grid.shape), axes.to_picture(far, grid.shape)
        step = axes.to_picture(grid.to_index(first + rows * spacing[0] * down), grid.shape)
        start = axes.to_picture(grid.to_index(first), grid.shape)
        picture = values
        if abs(step[1] - start[1]) > abs(step[0] - start[0]):  # rows of the map run across the picture
            picture = picture.T
        if row1 < row0:
            picture, row0, row1 = picture[::-1], row1, row0
        if column1 < column0:
            picture, column0, column1 = picture[:, ::-1], column1, column0
        extent = (row0 + 0.5, column0 + 0.5, row1 + 0.5, column1 + 0.5)  # pixel 0 runs from 0 to 1
        return Heatmap.of(np.ascontiguousarray(picture), extent, plane, index, label, METHOD, derived.source.title)
    return None
