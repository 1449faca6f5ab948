"""What keys, buttons and the mouse do to the view. Each function takes the session and changes what is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from overread.domain.finding import Finding
from overread.domain.geometry import Index, Plane, plane_axes
from overread.domain.study import Window
from overread.domain.view import Camera, Layout, dragged, scrolled
from overread.session.presets import fitted, windows
from overread.session.session import Session

ZOOMS = (0.2, 20.0)


def scroll(session: Session, plane: Plane, step: int) -> None:
    """Go `step` slices through a plane."""
    if session.image is not None:
        session.set_view(scrolled(session.view, session.image.stack.grid, plane, step))


def to_end(session: Session, plane: Plane, step: int) -> None:
    """Go to the first (-1) or the last (+1) slice."""
    scroll(session, plane, step * 100_000)


def put_cursor(session: Session, index: Index) -> None:
    """Let all planes go through a voxel."""
    session.set_view(replace(session.view, cursor=index))


def zoom(session: Session, plane: Plane, factor: float, anchor_mm: tuple[float, float] = (0.0, 0.0)) -> None:
    """Zoom a plane about a place, given in mm from the middle of the pane."""
    camera = session.view.camera(plane)
    wanted = min(max(camera.zoom * factor, ZOOMS[0]), ZOOMS[1])
    ratio = wanted / camera.zoom
    # The place under the mouse stays there: its distance from the shifted centre shrinks in mm as the zoom grows.
    shift = tuple(offset + at * (1.0 / ratio - 1.0) for offset, at in zip(camera.shift, anchor_mm, strict=True))
    moved = Camera(wanted, (shift[0], shift[1]))
    session.set_view(session.view.with_camera(plane, moved))


def pan(session: Session, plane: Plane, across_mm: float, down_mm: float) -> None:
    """Shift a plane in its pane."""
    camera = session.view.camera(plane)
    shifted = camera.shift[0] + across_mm, camera.shift[1] + down_mm
    session.set_view(session.view.with_camera(plane, replace(camera, shift=shifted)))


def fit(session: Session) -> None:
    """Show whole slices again."""
    session.set_view(replace(session.view, cameras={}))


def reset(session: Session) -> None:
    """Fit, first preset, not inverted."""
    if session.image is None:
        return
    offered = presets(session)
    window = offered[0] if offered else session.view.window
    session.set_view(replace(session.view, cameras={}, invert=False, window=window))


def invert(session: Session) -> None:
    """Swap black and white."""
    session.set_view(replace(session.view, invert=not session.view.invert))


def drag_window(session: Session, start: Window, across: float, down: float) -> None:
    """Window by dragging."""
    session.set_view(replace(session.view, window=dragged(start, across, down)))


def presets(session: Session) -> tuple[Window, ...]:
    """The windows to choose from for the image on screen, those that others offer last."""
    image = session.image
    return () if image is None else windows(image.stack, session.offered.get(image.stack.uid, ()))


def preset(session: Session, number: int) -> None:
    """Take the window preset with that number, counted from 1."""
    if session.image is not None:
        offered = presets(session)
        if number <= len(offered):
            session.set_view(replace(session.view, window=offered[number - 1]))


def fit_window(session: Session) -> None:
    """Take the window that fits the slice on screen."""
    image = session.image
    if image is None or image.volume.colour:
        return
    k = session.view.cursor[0]
    window = fitted(image.volume.real((slice(k, k + 1), slice(None), slice(None))))
    session.set_view(replace(session.view, window=window))


def layout(session: Session, plane: Plane | None = None) -> None:
    """Between one pane and three planes; with a plane, that one alone or back to three."""
    image = session.image
    if image is None:
        return
    if session.view.layout is Layout.THREE:
        view = replace(session.view, layout=Layout.ONE, plane=plane or session.view.plane)
    elif image.stack.grid.oriented and len(image.stack.frames) > 1:
        view = replace(session.view, layout=Layout.THREE)
    else:
        return
    session.set_view(view)


def next_plane(session: Session) -> None:
    """In one pane: axial, coronal, sagittal in turn."""
    image = session.image
    if image is not None and image.stack.grid.oriented and len(image.stack.frames) > 1:
        order = list(Plane)
        following = order[(order.index(session.view.plane) + 1) % len(order)]
        session.set_view(replace(session.view, plane=following, layout=Layout.ONE))


def overlays(session: Session) -> None:
    """Show or hide all findings on the image."""
    session.set_view(replace(session.view, overlays=not session.view.overlays))


def opacity(session: Session, value: float) -> None:
    """How strongly findings are filled."""
    session.set_view(replace(session.view, opacity=min(max(value, 0.0), 1.0)))


def hide(session: Session, finding: Finding) -> None:
    """Show or hide one finding."""
    hidden = session.view.hidden ^ {finding.id}
    session.set_view(replace(session.view, hidden=hidden))


def rejected(session: Session) -> None:
    """Show or hide what was rejected."""
    session.set_view(replace(session.view, rejected=not session.view.rejected))


def original(session: Session) -> None:
    """Show or hide what the model had drawn before a reader edited it."""
    session.set_view(replace(session.view, original=not session.view.original))


def heatmap(session: Session) -> None:
    """Show or hide what made a model say so, for the classification that is selected."""
    session.set_view(replace(session.view, heatmap=not session.view.heatmap))


def select(session: Session, finding: Finding) -> None:
    """Select a finding where the reader is; what was marked beside another one is marked no more."""
    session.set_view(replace(session.view, selected=finding.id, marked=frozenset()))


def heat_opacity(session: Session, value: float) -> None:
    """How strongly a heatmap covers the image."""
    session.set_view(replace(session.view, heat_opacity=min(max(value, 0.0), 1.0)))


def show(session: Session, finding: Finding) -> None:
    """Select a finding and go to its largest slice, its middle under the crosshair.

    One that speaks of an image as a whole has no middle: the slice is gone to that its heatmap lies on.
    """
    image = session.image
    if image is None:
        return
    start, extent = finding.mask.start, finding.mask.extent
    middle = [at + size // 2 for at, size in zip(start, extent, strict=True)]
    if finding.measures is not None:
        middle[0] = finding.measures.largest_slice
    cursor = image.stack.grid.clamp(middle) if finding.mask else session.view.cursor
    if finding.measurement is not None:
        cursor = image.stack.grid.clamp(np.mean(finding.measurement.points, axis=0))
    elif finding.marks and not finding.mask:
        k, j, i = finding.marks[0].points[0]
        cursor = image.stack.grid.clamp((k, *session.view.cursor[1:]) if finding.marks[0].whole else (k, j, i))
    if finding.heatmap is not None:
        at = list(cursor)
        at[plane_axes(image.stack.grid, finding.heatmap.plane).through] = finding.heatmap.index
        cursor = image.stack.grid.clamp(at)
    view = replace(session.view, cursor=cursor, selected=finding.id, marked=frozenset())
    if finding.measurement is not None and view.layout is Layout.ONE:
        view = replace(view, plane=finding.measurement.plane)  # on the other planes there is nothing to see of it
    session.set_view(view)
