"""What the reader has chosen to see. A change makes a new value; views compare old and new and paint once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from overread.domain.geometry import Grid, Index, Plane, acquired_plane, plane_axes
from overread.domain.listing import Listing
from overread.domain.measurement import Shape
from overread.domain.study import Window


class Layout(Enum):
    """How panes are laid out."""

    ONE = "one pane"
    THREE = "three planes"


class Tool(Enum):
    """What the left mouse button does on the image."""

    WINDOW = "window"
    BRUSH = "brush"
    ERASER = "eraser"
    BOX = "box"
    LENGTH = "length"
    BIDIRECTIONAL = "bidirectional"
    ANGLE = "angle"
    ELLIPSE = "ellipse"
    SMART = "smart brush"
    LASSO = "lasso"
    POLYGON = "polygon"
    SCISSORS = "scissors"
    SCRIBBLE = "scribbles"
    PICK = "pick a part"

    @property
    def pen(self) -> bool:
        """Whether it draws the voxels that it passes over."""
        return self in (Tool.BRUSH, Tool.ERASER, Tool.SMART)

    @property
    def edits(self) -> bool:
        """Whether it changes outlines."""
        lines = (Tool.LASSO, Tool.POLYGON, Tool.SCISSORS, Tool.SCRIBBLE, Tool.PICK)
        return self.pen or self in lines

    @property
    def shape(self) -> Shape | None:
        """What it measures."""
        return Shape(self.value) if self.value in {shape.value for shape in Shape} else None


@dataclass(frozen=True)
class Camera:
    """How one plane lies in its pane: zoom relative to the fit, and the shift of its centre in mm (across, down)."""

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Brush:
    """The pen: diameter in mm, in plane or a ball, and the real values it may touch."""

    diameter_mm: float = 10.0
    sphere: bool = False
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class ViewState:
    """All that decides what the panes show, apart from the voxels and the findings.

    `compare` names two readings of the series (`session.comparisons`); where they agree is then shown instead of them.
    """

    cursor: Index = (0, 0, 0)
    plane: Plane = Plane.AXIAL
    layout: Layout = Layout.ONE
    window: Window = field(default_factory=lambda: Window(0.0, 1.0))
    invert: bool = False
    cameras: Mapping[Plane, Camera] = field(default_factory=lambda: MappingProxyType({}))
    overlays: bool = True
    opacity: float = 0.20
    rejected: bool = False
    original: bool = False
    heatmap: bool = True
    heat_opacity: float = 0.65
    selected: str | None = None
    marked: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    tool: Tool = Tool.WINDOW
    brush: Brush = field(default_factory=Brush)
    direction: int = 1
    listing: Listing = field(default_factory=Listing)
    compare: tuple[str, str] | None = None

    def camera(self, plane: Plane) -> Camera:
        """How that plane lies in its pane."""
        return self.cameras.get(plane, Camera())

    def with_camera(self, plane: Plane, camera: Camera) -> ViewState:
        """The view with one plane moved or zoomed."""
        return replace(self, cameras=MappingProxyType({**self.cameras, plane: camera}))

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes on screen."""
        if self.layout is Layout.ONE:
            return (self.plane,)
        return (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)


def dragged(start: Window, across: float, down: float) -> Window:
    """A window after a drag of so many pixels: across widens, down darkens, as far as the window is wide.

    LINEAR is made for whole numbers and ends at a width of 1 (PS3.3 C.11.2.1.2). Narrower windows, for images of
    fractions, go on as LINEAR_EXACT, which knows no such end.
    """
    whole = start.function in ("LINEAR", "LUT") and start.width >= 1.0
    pace = (max(start.width, 10.0) if whole else start.width) / 300.0
    width = max(start.width + across * pace, 1.0 if whole else start.width / 100.0)
    function = start.function if start.function == "SIGMOID" else "LINEAR" if whole else "LINEAR_EXACT"
    return Window(start.center + down * pace, width, "", function)


def slice_index(view: ViewState, grid: Grid, plane: Plane) -> int:
    """The slice of `plane` that goes through the cursor."""
    return view.cursor[plane_axes(grid, plane).through]


def scrolled(view: ViewState, grid: Grid, plane: Plane, step: int) -> ViewState:
    """The view `step` slices further through `plane`, stopped at the ends.

    A positive step goes to higher slice numbers of the acquisition.
    """
    axis = plane_axes(grid, plane).through
    cursor = list(view.cursor)
    cursor[axis] = min(max(cursor[axis] + step, 0), grid.shape[axis] - 1)
    return replace(view, cursor=(cursor[0], cursor[1], cursor[2]), direction=1 if step >= 0 else -1)


def opening(view: ViewState, grid: Grid, window: Window) -> ViewState:
    """The view of a newly opened stack: its middle, its own plane; the reader's habits (layout, brush) are kept."""
    k, j, i = (size // 2 for size in grid.shape)
    return ViewState(
        cursor=(k, j, i),
        plane=acquired_plane(grid),
        layout=view.layout if grid.oriented and min(grid.shape) > 1 else Layout.ONE,
        window=window,
        overlays=view.overlays,
        opacity=view.opacity,
        heatmap=view.heatmap,
        heat_opacity=view.heat_opacity,
        brush=view.brush,
    )


def resumed(kept: ViewState, fresh: ViewState) -> ViewState:
    """A stack as it was last looked at; the reader's habits and what is in the hand are those of now."""
    kept = replace(kept, layout=fresh.layout, overlays=fresh.overlays, opacity=fresh.opacity)
    kept = replace(kept, heatmap=fresh.heatmap, heat_opacity=fresh.heat_opacity)
    # Nothing is selected, so that no heatmap is the first thing to be seen.
    kept = replace(kept, selected=None, marked=frozenset(), compare=None)
    return replace(kept, brush=fresh.brush, tool=fresh.tool, listing=fresh.listing)
