"""What a reader measures: against lengths that are known, and against SimpleITK's physical points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.errors import UserError
from overread.domain.geometry import Grid, Plane, plane_axes
from overread.domain.measurement import Measurement, Point, Shape
from overread.domain.ruler import Ruler, Scale
from overread.domain.study import Problem, Stack
from overread.imaging import measuring
from overread.imaging.measuring import Metric, begun, dragged, inside, measured, settled, shifted, worth
from support.values import as_image, box_grid, grids, stack, volume

ANISO = box_grid((10, 64, 64), (5.0, 0.5, 2.0))


def numbers(made: Measurement) -> dict[str, float]:
    return {(v.derivation or v.name).meaning: v.number for v in made.values}


def test_lengths_on_anisotropic_slices_in_every_plane() -> None:
    of = stack(ANISO)
    # 3-4-5: 6 rows of 0.5 mm and 2 columns of 2 mm.
    axial = measured(Shape.LENGTH, ((4.0, 10.0, 10.0), (4.0, 16.0, 12.0)), Plane.AXIAL, of)
    assert numbers(axial) == {"Length": 5.0}
    assert (axial.index, axial.scale, axial.values[0].unit.value) == (4, Scale.PATIENT, "mm")
    # 5-12-13: one slice of 5 mm and 6 columns of 2 mm.
    coronal = measured(Shape.LENGTH, ((4.0, 10.0, 10.0), (5.0, 10.0, 16.0)), Plane.CORONAL, of)
    assert (numbers(coronal), coronal.index) == ({"Length": 13.0}, 10)
    sagittal = measured(Shape.LENGTH, ((4.0, 10.0, 10.0), (5.0, 34.0, 10.0)), Plane.SAGITTAL, of)
    assert numbers(sagittal) == {"Length": 13.0}


@given(grids(most=12), st.data())
def test_lengths_and_angles_are_those_between_simpleitk_s_physical_points(grid: Grid, data: st.DataObject) -> None:
    image = as_image(grid)
    of = stack(grid)
    plane = data.draw(st.sampled_from(list(Plane)))
    through = plane_axes(grid, plane).through
    level = float(data.draw(st.integers(0, grid.shape[through] - 1)))

    def point() -> Point:
        at = [data.draw(st.floats(-0.5, size - 0.5)) for size in grid.shape]
        at[through] = level
        return at[0], at[1], at[2]

    points = point(), point(), point()
    there = [np.array(image.TransformContinuousIndexToPhysicalPoint(p[::-1])) for p in points]
    length = measured(Shape.LENGTH, points[:2], plane, of)
    assert numbers(length)["Length"] == pytest.approx(np.linalg.norm(there[0] - there[1]), abs=0.006)
    assert length.lps(grid) == pytest.approx(np.array(there[:2]), abs=1e-6)
    a, b = there[0] - there[1], there[2] - there[1]
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    if norms > 1e-3:
        expected = math.degrees(math.acos(np.clip(a @ b / norms, -1, 1)))
        assert numbers(measured(Shape.ANGLE, points, plane, of))["Angle"] == pytest.approx(expected, abs=0.06)


@given(grids(most=12, sheared=True), st.data())
def test_the_short_axis_is_at_right_angles_in_mm_whatever_is_pulled(grid: Grid, data: st.DataObject) -> None:
    plane = data.draw(st.sampled_from(list(Plane)))
    metric = Metric.of(stack(grid), plane)
    through = metric.axes.through

    def point() -> Point:
        at = [data.draw(st.floats(0, 30)) for _ in range(3)]
        at[through] = 0.0
        return at[0], at[1], at[2]

    start, end = point(), point()
    if metric.far(start, end) < 1.0:
        return
    points = begun(Shape.BIDIRECTIONAL, start, end, metric)
    assert metric.far(points[2], points[3]) == pytest.approx(metric.far(start, end) / 2)
    for handle in data.draw(st.lists(st.integers(0, 3), max_size=4)):
        points = dragged(Shape.BIDIRECTIONAL, points, handle, point(), metric)
    along, aside = metric.between(points[0], points[1]), metric.between(points[2], points[3])
    scale = np.linalg.norm(along) * np.linalg.norm(aside)
    assert abs(along @ aside) <= 1e-6 * max(scale, 1.0)
    assert all(p[through] == 0.0 for p in points)


def test_the_pulled_end_of_a_short_axis_goes_where_it_is_pulled() -> None:
    metric = Metric.of(stack(ANISO), Plane.AXIAL)
    points = begun(Shape.BIDIRECTIONAL, (4.0, 20.0, 10.0), (4.0, 20.0, 30.0), metric)
    points = dragged(Shape.BIDIRECTIONAL, points, 3, (4.0, 32.0, 15.0), metric)
    assert np.allclose(points[3], (4.0, 32.0, 15.0)) or np.allclose(points[3], (4.0, 8.0, 15.0))
    assert points[2][2] == pytest.approx(15.0), "it slid along the long axis as a whole"
    made = measured(Shape.BIDIRECTIONAL, points, Plane.AXIAL, stack(ANISO))
    assert numbers(made)["Long axis"] == 40.0
    assert (made.points[0], made.points[1]) == ((4.0, 20.0, 10.0), (4.0, 20.0, 30.0))


def test_the_longer_axis_comes_first_when_it_is_done() -> None:
    metric = Metric.of(stack(ANISO), Plane.AXIAL)
    points = ((4.0, 20.0, 18.0), (4.0, 20.0, 22.0), (4.0, 0.0, 20.0), (4.0, 60.0, 20.0))  # 8 mm and 30 mm
    assert settled(Shape.BIDIRECTIONAL, points, metric) == (*points[2:], *points[:2])
    made = measured(Shape.BIDIRECTIONAL, points, Plane.AXIAL, stack(ANISO))
    assert numbers(made) == {"Long axis": 30.0, "Short axis": 8.0}


def disc(of: Stack, radius_mm: float) -> tuple[Point, ...]:
    """An ellipse that is a circle in mm on an axial slice."""
    _, down, across = of.grid.spacing
    metric = Metric.of(of, Plane.AXIAL)
    corner, other = (32 - radius_mm / down, 32 - radius_mm / across), (32 + radius_mm / down, 32 + radius_mm / across)
    return begun(Shape.ELLIPSE, (4.0, *corner), (4.0, *other), metric)


def test_a_region_has_the_area_of_an_ellipse_and_the_voxels_within() -> None:
    k, j, i = np.indices(ANISO.shape)
    far = np.hypot((j - 32) * 0.5, (i - 32) * 2.0)
    voxels = np.where((far <= 10) & (k == 4), 100 + j, -1000).astype(np.int16)
    of = volume(voxels, ANISO, slope=2.0, intercept=-5.0, units="HU")
    made = measured(Shape.ELLIPSE, disc(of.stack, 10.0), Plane.AXIAL, of.stack, of)
    held = (voxels[4][far[4] <= 10 + 1e-9]).astype(float) * 2 - 5
    assert numbers(made) == {
        "Area": round(math.pi * 100, 2),
        "Mean": round(held.mean(), 2),
        "Standard Deviation": round(held.std(), 2),
        "Minimum": held.min(),
        "Maximum": held.max(),
    }
    area, mean = made.values[:2]
    assert (area.unit.value, mean.unit.value, mean.name.meaning) == ("mm2", "[hnsf'U]", "Attenuation Coefficient")


@given(grids(most=16), st.sampled_from(list(Plane)), st.data())
def test_the_voxels_within_are_those_whose_centres_are(grid: Grid, plane: Plane, data: st.DataObject) -> None:
    axes = plane_axes(grid, plane)
    level = data.draw(st.integers(0, grid.shape[axes.through] - 1))
    ends = [data.draw(st.floats(-2, 18)) for _ in range(4)]
    start, end = [0.0] * 3, [0.0] * 3
    start[axes.through] = end[axes.through] = float(level)
    start[axes.down], start[axes.across], end[axes.down], end[axes.across] = ends
    if abs(ends[0] - ends[2]) < 0.2 or abs(ends[1] - ends[3]) < 0.2:
        return
    voxels = np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape)
    of = volume(voxels.astype(np.int16) if voxels.size < 32000 else voxels, grid)
    points = begun(Shape.ELLIPSE, (*start,), (*end,), Metric.of(of.stack, plane))  # type: ignore[arg-type]
    where = np.indices(grid.shape)
    row = (where[axes.down] - (ends[0] + ends[2]) / 2) / (abs(ends[2] - ends[0]) / 2)
    column = (where[axes.across] - (ends[1] + ends[3]) / 2) / (abs(ends[3] - ends[1]) / 2)
    meant = (row**2 + column**2 <= 1 + 1e-9) & (where[axes.through] == level)
    assert sorted(inside(points, axes, level, of)) == sorted(voxels[meant].astype(float))


def test_a_diameter_is_pulled_and_the_other_end_stays() -> None:
    metric = Metric.of(stack(ANISO), Plane.AXIAL)
    points = disc(stack(ANISO), 10.0)
    wider = dragged(Shape.ELLIPSE, points, 1, (4.0, 50.0, 42.0), metric)
    assert wider[0] == points[0]
    assert wider[1] == pytest.approx((4.0, 32.0, 42.0)), "along its own direction"
    assert metric.far(wider[2], wider[3]) == pytest.approx(20.0)
    made = measured(Shape.ELLIPSE, wider, Plane.AXIAL, stack(ANISO))
    assert numbers(made)["Area"] == pytest.approx(math.pi * 10 * 15, rel=1e-4)


def test_pixels_where_there_is_no_spacing_and_mm_at_the_detector() -> None:
    plain = box_grid((1, 64, 64), oriented=False, calibrated=False)
    points: tuple[Point, ...] = ((0.0, 10.0, 10.0), (0.0, 13.0, 14.0))
    made = measured(Shape.LENGTH, points, Plane.AXIAL, stack(plain, ruler=Ruler(Scale.NONE)))
    assert (numbers(made), made.values[0].unit.value, made.scale.remark) == ({"Length": 5.0}, "{pixels}", "no spacing")
    shadow = stack(plain, ruler=Ruler(Scale.DETECTOR, (0.1, 0.2)))
    made = measured(Shape.LENGTH, ((0.0, 10.0, 10.0), (0.0, 50.0, 25.0)), Plane.AXIAL, shadow)
    assert (numbers(made), made.values[0].unit.value, made.scale.remark) == ({"Length": 5.0}, "mm", "at detector")
    # The same where the file gives a place and a spacing of its own, which is not that of the patient.
    placed = stack(box_grid((1, 64, 64), (1, 0.3, 0.3)), ruler=Ruler(Scale.CALIBRATED, (0.1, 0.2)))
    made = measured(Shape.LENGTH, ((0.0, 10.0, 10.0), (0.0, 50.0, 25.0)), Plane.AXIAL, placed)
    assert (numbers(made), made.scale.remark) == ({"Length": 5.0}, "calibrated")


def test_nothing_is_measured_across_slices_that_lie_unevenly() -> None:
    uneven = stack(ANISO, problems=(Problem("missing-slices", "Two slices are missing.", measurable=False),))
    points: tuple[Point, ...] = ((4.0, 10.0, 10.0), (4.0, 16.0, 12.0))
    assert numbers(measured(Shape.LENGTH, points, Plane.AXIAL, uneven)) == {"Length": 5.0}
    with pytest.raises(UserError, match="Two slices are missing"):
        measured(Shape.LENGTH, ((4.0, 10.0, 10.0), (5.0, 10.0, 16.0)), Plane.CORONAL, uneven)


def test_colour_and_regions_between_voxels_have_no_grey_values() -> None:
    colour = volume(np.zeros((1, 32, 32, 3), np.uint8))
    points = begun(Shape.ELLIPSE, (0.0, 4.0, 4.0), (0.0, 20.0, 20.0), Metric.of(colour.stack, Plane.AXIAL))
    assert list(numbers(measured(Shape.ELLIPSE, points, Plane.AXIAL, colour.stack, colour))) == ["Area"]
    grey = volume(np.zeros((1, 32, 32), np.int16))
    points = begun(Shape.ELLIPSE, (0.0, 4.2, 4.2), (0.0, 4.8, 4.8), Metric.of(grey.stack, Plane.AXIAL))
    assert list(numbers(measured(Shape.ELLIPSE, points, Plane.AXIAL, grey.stack, grey))) == ["Area"]


def test_what_is_too_short_is_no_measurement() -> None:
    metric = Metric.of(stack(ANISO), Plane.AXIAL)
    here: Point = (4.0, 10.0, 10.0)
    for shape in Shape:
        assert not worth(shape, begun(shape, here, here, metric), metric)
    assert worth(Shape.LENGTH, begun(Shape.LENGTH, here, (4.0, 12.0, 10.0), metric), metric)
    assert not worth(Shape.ANGLE, begun(Shape.ANGLE, here, (4.0, 12.0, 10.0), metric), metric), "one arm only"


def test_a_shift_changes_nothing_but_the_place() -> None:
    points = disc(stack(ANISO), 10.0)
    moved = shifted(points, np.array([0.0, 3.0, -2.0]))
    assert moved[0] == pytest.approx(np.add(points[0], (0, 3, -2)))
    one, other = (measured(Shape.ELLIPSE, p, Plane.AXIAL, stack(ANISO)) for p in (points, moved))
    assert numbers(one) == numbers(other)


def test_units_of_other_images() -> None:
    pet = volume(np.ones((1, 8, 8), np.int16), units="BQML")
    assert [code.value for code in measuring.quantity(pet.stack)] == ["110852", "{BQML}"]
