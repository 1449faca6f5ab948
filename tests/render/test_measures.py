"""What stands beside a measurement, and where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Status
from overread.domain.geometry import Plane
from overread.domain.measurement import Measurement, Shape, Value
from overread.domain.ruler import Scale
from overread.domain.view import Camera
from overread.imaging import measuring
from overread.render.measures import MeasureMark, Rect, beside, draw_measures, middle_of, overlaps, words
from overread.render.projection import project
from support.values import box_grid

P = (0.0, 1.0, 1.0)


def made(shape: Shape, *values: Value, scale: Scale = Scale.PATIENT) -> Measurement:
    return Measurement(shape, Plane.AXIAL, 0, (P,) * shape.size, values, scale)


def test_the_words_say_unit_and_what_a_millimetre_is() -> None:
    length = Value(measuring.LENGTH, 12.345, measuring.MILLIMETRE)
    assert words(made(Shape.LENGTH, length)) == ("12.3 mm",)
    assert words(made(Shape.LENGTH, length, scale=Scale.DETECTOR)) == ("12.3 mm at detector",)
    assert words(made(Shape.LENGTH, length, scale=Scale.CALIBRATED)) == ("12.3 mm calibrated",)
    pixels = Value(measuring.LENGTH, 133.4, measuring.PIXELS)
    assert words(made(Shape.LENGTH, pixels, scale=Scale.NONE)) == ("133 px (no spacing)",)
    axes = (
        Value(measuring.LONG_AXIS, 40.0, measuring.MILLIMETRE),
        Value(measuring.SHORT_AXIS, 21.5, measuring.MILLIMETRE),
    )
    assert words(made(Shape.BIDIRECTIONAL, *axes)) == ("40.0 × 21.5 mm",)
    assert words(made(Shape.ANGLE, Value(measuring.ANGLE, 45.2, measuring.DEGREE))) == ("45.2°",)
    grey = [Value(measuring.ATTENUATION, n, measuring.HOUNSFIELD, measuring.MEAN) for n in (34.25, 5.5, 12.0, 60.0)]
    area = Value(measuring.AREA, 123.45, measuring.SQUARE_MILLIMETRE)
    assert words(made(Shape.ELLIPSE, area, *grey)) == ("123.5 mm²", "mean 34.25 ± 5.5 HU", "12 … 60 HU")


boxes = st.tuples(st.floats(0, 780), st.floats(0, 580), st.floats(1, 120), st.floats(1, 120))


@given(boxes, st.lists(boxes, max_size=4))
def test_a_text_keeps_off_the_middle_and_off_the_figure(figure: Rect, taken: list[Rect]) -> None:
    place = beside(figure, (120.0, 16.0), (900.0, 700.0), taken)
    assert not overlaps(place, middle_of((900.0, 700.0)))
    assert 0 <= place[0] <= 780
    assert 0 <= place[1] <= 684
    if not taken:
        assert not overlaps(place, figure)


def test_lines_are_drawn_where_the_points_are() -> None:
    projection = project(box_grid((1, 40, 40)), Plane.AXIAL, 0, (400, 400), Camera())
    length = Measurement(Shape.LENGTH, Plane.AXIAL, 0, ((0.0, 10.0, 5.0), (0.0, 10.0, 35.0)))
    rgb = np.full((400, 400, 3), 60, np.uint8)
    draw_measures(rgb, [MeasureMark(length, ("x",), Status.EDITED)], projection, 2.0)
    y = projection.to_screen((0.0, 10.0, 5.0))[1]
    left, right = projection.to_screen((0.0, 10.0, 5.0))[0], projection.to_screen((0.0, 10.0, 35.0))[0]
    changed = np.argwhere((rgb != 60).any(axis=-1))
    assert np.abs(changed.min(axis=0) - (y, left)).max() <= 4
    assert np.abs(changed.max(axis=0) - (y, right)).max() <= 4
    assert np.abs(rgb[round(y - 0.5), 100:300].astype(int) - (0x9B, 0x8C, 0xFF)).max() < 60


def test_an_ellipse_is_round_where_pixels_are_not() -> None:
    projection = project(box_grid((1, 40, 40), (1, 0.5, 1.0)), Plane.AXIAL, 0, (400, 400), Camera())
    points = ((0.0, 20.0, 10.0), (0.0, 20.0, 30.0), (0.0, 0.0, 20.0), (0.0, 40.0, 20.0))  # 20 mm both ways
    mark = MeasureMark(Measurement(Shape.ELLIPSE, Plane.AXIAL, 0, points), ("x",), Status.EDITED)
    (line,) = mark.strokes(projection)
    far = np.linalg.norm(line - line[:-1].mean(axis=0), axis=1)
    assert far.max() / far.min() == pytest.approx(1.0, abs=0.01)
