"""Views: where scrolling ends, what a new image opens with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.errors import UserError
from overread.domain.geometry import Grid, Plane, acquired_plane, plane_axes
from overread.domain.ports import Cancel
from overread.domain.study import Window
from overread.domain.view import Brush, Camera, Layout, Tool, ViewState, dragged, opening, scrolled, slice_index
from support.values import box_grid, grids


@given(grids(), st.sampled_from(Plane), st.integers(-100, 100), st.data())
def test_scrolling_stops_at_the_ends_and_moves_nothing_else(
    grid: Grid, plane: Plane, step: int, data: st.DataObject
) -> None:
    cursor = data.draw(st.tuples(*[st.integers(0, n - 1) for n in grid.shape]))
    view = scrolled(ViewState(cursor=cursor), grid, plane, step)
    axis = plane_axes(grid, plane).through
    assert slice_index(view, grid, plane) == min(max(cursor[axis] + step, 0), grid.shape[axis] - 1)
    assert [n for at, n in enumerate(view.cursor) if at != axis] == [n for at, n in enumerate(cursor) if at != axis]
    assert view.direction == (1 if step >= 0 else -1)


@given(grids())
def test_a_new_image_opens_in_its_middle_and_its_own_plane(grid: Grid) -> None:
    habits = ViewState(
        cursor=(99, 99, 99),
        layout=Layout.THREE,
        invert=True,
        opacity=0.7,
        overlays=False,
        selected="somebody else's finding",
        hidden=frozenset({"x"}),
        tool=Tool.BRUSH,
        brush=Brush(3.0, sphere=True),
    ).with_camera(Plane.AXIAL, Camera(3.0, (9.0, 9.0)))
    view = opening(habits, grid, Window(40, 80))
    assert all(0 <= at < size for at, size in zip(view.cursor, grid.shape, strict=True))
    assert view.plane is acquired_plane(grid)
    assert view.layout is (Layout.THREE if min(grid.shape) > 1 else Layout.ONE)
    assert (view.brush, view.opacity, view.overlays, view.window) == (habits.brush, 0.7, False, Window(40, 80))
    assert (view.selected, view.hidden, view.invert, view.tool) == (None, frozenset(), False, Tool.WINDOW)
    assert view.camera(Plane.AXIAL) == Camera()


@given(
    st.floats(-500, 500),
    st.floats(0.001, 4000),
    st.sampled_from(("LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT")),
    st.integers(-600, 600),
    st.integers(-600, 600),
)
def test_dragging_windows_as_far_as_the_window_is_wide(
    center: float, width: float, function: str, across: int, down: int
) -> None:
    start = Window(center, width, "Preset", function)
    after = dragged(start, across, down)
    assert after.width > 0
    assert after.function != "LUT", "a table has no width"
    assert after.width >= 1 or after.function != "LINEAR"
    assert (after.width > width) == (across > 0)
    assert np.sign(after.center - center) == np.sign(down)
    wider = dragged(start, 300, 0).width
    assert wider == pytest.approx(2 * width) or (width < 10 and wider == pytest.approx(width + 10))


def test_a_window_over_fractions_stays_one() -> None:
    after = dragged(Window(0.002, 0.003, "Fitted"), -100, 30)
    assert (after.center, after.width) == pytest.approx((0.0023, 0.002))
    assert after.function == "LINEAR_EXACT"


def test_an_image_without_orientation_has_one_pane() -> None:
    loose = box_grid((4, 4, 4), oriented=False)
    assert opening(ViewState(layout=Layout.THREE), loose, Window(0, 1)).planes == (Plane.AXIAL,)


def test_cameras_belong_to_their_plane() -> None:
    view = ViewState().with_camera(Plane.CORONAL, Camera(2.0))
    moved = view.with_camera(Plane.AXIAL, Camera(4.0))
    assert [moved.camera(plane).zoom for plane in Plane] == [4.0, 2.0, 1.0]
    assert view.camera(Plane.AXIAL) == Camera()
    assert moved == replace(ViewState(), cameras={Plane.AXIAL: Camera(4.0), Plane.CORONAL: Camera(2.0)})
    assert replace(view, layout=Layout.THREE).planes == (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)


def test_calling_off_reaches_everybody_who_waits_once() -> None:
    cancel, called = Cancel(), []
    cancel.on_cancel(lambda: called.append("first"))
    forget = cancel.on_cancel(lambda: called.append("forgotten"))
    forget()
    forget()
    assert not cancel.cancelled
    cancel.cancel()
    cancel.cancel()
    cancel.on_cancel(lambda: called.append("late"))()
    assert cancel.cancelled
    assert called == ["first", "late"]


def test_calling_off_may_ask_the_same_cancel_again() -> None:
    cancel, called = Cancel(), []
    cancel.on_cancel(lambda: cancel.on_cancel(lambda: called.append(cancel.cancelled)))
    cancel.cancel()
    assert called == [True]


@pytest.mark.parametrize(("hint", "text"), [("Do that.", "This broke. Do that."), ("", "This broke.")])
def test_what_a_reader_can_put_right(hint: str, text: str) -> None:
    error = UserError("This broke.", hint)
    assert str(error) == text
    assert (error.title, error.hint) == ("This broke.", hint)
