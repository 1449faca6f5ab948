"""Lengths, angles and regions that a reader draws with a few points on a slice. Pure functions of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from overread.domain.errors import UserError
from overread.domain.finding import Code
from overread.domain.geometry import Floats, Plane, PlaneAxes, plane_axes
from overread.domain.measurement import Measurement, Point, Shape, Value
from overread.domain.ruler import Scale
from overread.domain.study import Stack
from overread.domain.volume import Volume

LENGTH = Code("410668003", "SCT", "Length")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
ANGLE = Code("1483009", "SCT", "Angle")
AREA = Code("42798000", "SCT", "Area")
MEAN = Code("373098007", "SCT", "Mean")
DEVIATION = Code("386136009", "SCT", "Standard Deviation")
LEAST = Code("255605001", "SCT", "Minimum")
GREATEST = Code("56851009", "SCT", "Maximum")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
SIGNAL = Code("110852", "DCM", "MR signal intensity")
PIXEL_VALUE = Code("OR0006", "99OVERREAD", "Pixel value")
MILLIMETRE = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
DEGREE = Code("deg", "UCUM", "Degree")
PIXELS = Code("{pixels}", "UCUM", "pixels")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
NO_UNITS = Code("1", "UCUM", "no units")

Points = tuple[Point, ...]
# The short axis that a new pair of diameters begins with, as a share of the long one.
_SHORT = 0.5


@dataclass(frozen=True, eq=False)
class Metric:
    """How far apart the points of one plane of a stack are. `matrix` (3×3) takes steps (k, j, i) to mm, or pixels."""

    axes: PlaneAxes
    matrix: Floats
    scale: Scale

    @classmethod
    def of(cls, stack: Stack, plane: Plane) -> Metric:
        """The metric of a plane. UserError where lengths across the stack's slices would be wrong."""
        axes, ruler = plane_axes(stack.grid, plane), stack.ruler
        if axes.through != 0 and not stack.measurable:
            why = next((problem.text for problem in stack.problems if not problem.measurable), "")
            raise UserError(
                f"Nothing is measured across these slices. {why}".strip(),
                "Measure on the slices as they were acquired.",
            )
        matrix = stack.grid.affine[:3, :3]
        if ruler.mm is not None:
            matrix = matrix / np.array([1.0, *stack.grid.spacing[1:]]) * np.array([1.0, *ruler.mm])
        return cls(axes, matrix, ruler.scale)

    def between(self, start: Point, end: Point) -> Floats:
        """The way from one point to another, mm or pixels, shape (3,)."""
        return np.asarray(self.matrix @ np.subtract(end, start))

    def far(self, start: Point, end: Point) -> float:
        """How far two points are apart."""
        return float(np.linalg.norm(self.between(start, end)))

    def across(self, start: Point, end: Point) -> Floats:
        """The step (k, j, i) at right angles to the way between two points, within the plane, 1 mm or pixel long."""
        normal = np.cross(self.matrix[:, self.axes.down], self.matrix[:, self.axes.across])
        aside = np.cross(normal, self.between(start, end))
        step = np.linalg.solve(self.matrix, aside / max(float(np.linalg.norm(aside)), 1e-12))
        step[self.axes.through] = 0.0  # it lies in the plane but for rounding
        return np.asarray(step)


def begun(shape: Shape, start: Point, end: Point, metric: Metric) -> Points:
    """The points of a shape after a first drag from `start` to `end`: of an ellipse the corners of what holds it."""
    if shape is Shape.LENGTH:
        return start, end
    if shape is Shape.ANGLE:
        return start, end, end
    first, last = np.array(start), np.array(end)
    middle = (first + last) / 2
    if shape is Shape.BIDIRECTIONAL:
        reach = metric.across(start, end) * metric.far(start, end) * _SHORT / 2
        return start, end, _point(middle - reach), _point(middle + reach)
    down, across = np.zeros(3), np.zeros(3)
    down[metric.axes.down] = (last - first)[metric.axes.down] / 2
    across[metric.axes.across] = (last - first)[metric.axes.across] / 2
    return _point(middle - across), _point(middle + across), _point(middle - down), _point(middle + down)


def dragged(shape: Shape, points: Points, handle: int, to: Point, metric: Metric) -> Points:
    """The points after one of them was dragged.

    A short axis stays at right angles to its long one: it turns with it, slides along it, and is as long as it is
    pulled. The diameters of an ellipse keep their directions; the other end stays where it is.
    """
    if shape is Shape.BIDIRECTIONAL:
        return _axis_dragged(points, handle, to, metric)
    if shape is Shape.ELLIPSE:
        return _diameter_dragged(points, handle, to, metric)
    return (*points[:handle], to, *points[handle + 1 :])


def _axis_dragged(points: Points, handle: int, to: Point, metric: Metric) -> Points:
    start, end, low, high = points
    along = metric.between(start, end)
    length = max(float(np.linalg.norm(along)), 1e-12)
    aside = metric.matrix @ metric.across(start, end)
    share = float(metric.between(start, low) @ along) / length**2
    sides = [float(metric.between(start, point) @ aside) for point in (low, high)]
    if handle < 2:
        start, end = (to, end) if handle == 0 else (start, to)
    else:
        share = float(np.clip(metric.between(start, to) @ along / length**2, 0.0, 1.0))
        sides[handle - 2] = float(metric.between(start, to) @ aside)
    foot = np.array(start) + share * np.subtract(end, start)
    step = metric.across(start, end)
    return start, end, _point(foot + sides[0] * step), _point(foot + sides[1] * step)


def _diameter_dragged(points: Points, handle: int, to: Point, metric: Metric) -> Points:
    mine, other = handle, handle ^ 1
    pinned = points[other]
    way = metric.between(pinned, points[mine])
    share = float(metric.between(pinned, to) @ way) / max(float(way @ way), 1e-12)
    moved = np.array(pinned) + max(share, 1e-3) * np.subtract(points[mine], pinned)
    shift = (moved - points[mine]) / 2
    changed = [_point(np.add(point, shift)) for point in points]
    changed[mine], changed[other] = _point(moved), pinned
    return tuple(changed)


def shifted(points: Points, by: Floats) -> Points:
    """All points the same step (k, j, i) further."""
    return tuple(_point(np.add(point, by)) for point in points)


def worth(shape: Shape, points: Points, metric: Metric) -> bool:
    """Whether the points are far enough apart to be a measurement: a tenth of a mm or pixel."""
    pairs = [(0, 1), (1, 2)] if shape is Shape.ANGLE else [(0, 1)] if shape is Shape.LENGTH else [(0, 1), (2, 3)]
    return all(metric.far(points[a], points[b]) >= 0.1 for a, b in pairs)


def settled(shape: Shape, points: Points, metric: Metric) -> Points:
    """The points of a finished shape, the longer of two diameters first."""
    longer_first = shape in (Shape.ELLIPSE, Shape.BIDIRECTIONAL)
    if longer_first and metric.far(points[2], points[3]) > metric.far(points[0], points[1]):
        return points[2], points[3], points[0], points[1]
    return points


def measured(shape: Shape, points: Points, plane: Plane, stack: Stack, volume: Volume | None = None) -> Measurement:
    """The measurement of points that lie on one slice of a plane; of a region with its grey values from `volume`.

    Lengths to a hundredth of a mm or pixel, angles to a tenth of a degree. UserError where nothing can be measured.
    """
    metric = Metric.of(stack, plane)
    index = int(np.floor(points[0][metric.axes.through] + 0.5))
    counted = metric.scale is Scale.NONE
    unit = PIXELS if counted else MILLIMETRE
    lengths = [round(metric.far(points[at], points[at + 1]), 2) for at in range(0, 2 * (len(points) // 2), 2)]
    values: tuple[Value, ...]
    if shape is Shape.LENGTH:
        values = (Value(LENGTH, lengths[0], unit),)
    elif shape is Shape.BIDIRECTIONAL:
        values = Value(LONG_AXIS, max(lengths), unit), Value(SHORT_AXIS, min(lengths), unit)
    elif shape is Shape.ANGLE:
        values = (Value(ANGLE, round(_degrees(points, metric), 1), DEGREE),)
    else:
        u, v = metric.between(points[0], points[1]) / 2, metric.between(points[2], points[3]) / 2
        area = math.pi * float(np.linalg.norm(np.cross(u, v)))
        values = (Value(AREA, round(area, 2), PIXELS if counted else SQUARE_MILLIMETRE),)
        if volume is not None and not volume.colour:
            values += _statistics(points, metric.axes, index, volume)
    return Measurement(shape, plane, index, points, values, metric.scale)


def _degrees(points: Points, metric: Metric) -> float:
    one, other = metric.between(points[1], points[0]), metric.between(points[1], points[2])
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(one, other))), float(one @ other)))


def _statistics(points: Points, axes: PlaneAxes, index: int, volume: Volume) -> tuple[Value, ...]:
    """Mean, standard deviation (of the population), least and greatest real value of the voxels in an ellipse.

    None where it holds no voxel's centre.
    """
    real = inside(points, axes, index, volume)
    if real.size == 0:
        return ()
    name, unit = quantity(volume.stack)
    numbers = (MEAN, real.mean()), (DEVIATION, real.std()), (LEAST, real.min()), (GREATEST, real.max())
    return tuple(Value(name, rounded(float(number)), unit, derivation) for derivation, number in numbers)


def inside(points: Points, axes: PlaneAxes, index: int, volume: Volume) -> Floats:
    """Real values of the voxels of a slice whose centres lie in an ellipse or on its line, shape (n,)."""
    plane = [axes.down, axes.across]
    ends = np.array(points)[:, plane]
    centre, halves = ends.mean(axis=0), np.stack([ends[1] - ends[0], ends[3] - ends[2]], axis=1) / 2
    if abs(np.linalg.det(halves)) < 1e-9:
        return np.zeros(0)
    reach = np.linalg.norm(halves, axis=1)
    size = np.array([volume.grid.shape[axis] for axis in plane])
    low = np.clip(np.ceil(centre - reach).astype(int), 0, size)
    high = np.clip(np.floor(centre + reach).astype(int) + 1, low, size)
    box: list[slice] = [slice(0)] * 3
    box[axes.through] = slice(index, index + 1)
    for axis, a, b in zip(plane, low, high, strict=True):
        box[axis] = slice(int(a), int(b))
    places = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    shares = (places - centre) @ np.linalg.inv(halves).T
    held = (shares**2).sum(axis=-1) <= 1 + 1e-9
    real = volume.real((box[0], box[1], box[2])).squeeze(axes.through)
    return np.asarray(real[held] if axes.down < axes.across else real.T[held])


def quantity(stack: Stack) -> tuple[Code, Code]:
    """What an image's real values are of, and their unit (UCUM)."""
    if stack.units == "HU":
        return ATTENUATION, HOUNSFIELD
    unit = Code(f"{{{stack.units}}}", "UCUM", stack.units) if stack.units else NO_UNITS
    return (SIGNAL if stack.identity.modality == "MR" else PIXEL_VALUE), unit


def rounded(number: float) -> float:
    """A grey value as it is shown and written: two decimals, more where it is a small fraction."""
    return round(number, 2) if abs(number) >= 1 or number == 0 else float(f"{number:.3g}")


def _point(values: Floats) -> Point:
    k, j, i = (float(value) for value in values)
    return k, j, i
