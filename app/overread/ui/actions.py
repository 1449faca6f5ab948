"""Every action in one table: name, keys, what it does, when it can. Menus, buttons, sheet and palette follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from overread.domain.geometry import Plane
from overread.domain.view import Layout, Tool
from overread.ui import looking
from overread.ui.action import Action, Do, Test
from overread.ui.box_desk import BoxDesk
from overread.ui.edit_actions import EDITING, MOUSE_EDITING
from overread.ui.listing_bar import CUTOFF_STEP, next_order
from overread.ui.naming import turn_over

if TYPE_CHECKING:
    from overread.ui.main_window import MainWindow


def _always(window: MainWindow) -> bool:
    return True


def _image(window: MainWindow) -> bool:
    return window.session.image is not None


def _selected(window: MainWindow) -> bool:
    return window.session.selected is not None


def _any_finding(window: MainWindow) -> bool:
    return bool(window.session.shown_findings)


def _anywhere(window: MainWindow) -> bool:
    return window.session.image is not None and bool(window.session.findings)


def _leaving(window: MainWindow) -> bool:
    return any(finding.status.leaves for finding in window.session.shown_findings)


def _tool(tool: Tool) -> Test:
    return lambda w: w.session.view.tool is tool


def _sort(window: MainWindow) -> None:
    window.desk.list_by(next_order(window.session.view.listing))


def _preset(number: int) -> Do:
    return lambda w: looking.preset(w.session, number)


def _selected_box(window: MainWindow) -> bool:
    return window.desk.boxes.selected is not None


def _take(tool: Tool, text: str, key: str, icon: str = "") -> Action:
    return Action(tool.value, "Mark", text, (key,), lambda w: w.desk.take(tool), icon=icon, checked=_tool(tool))


def _on_box(action_id: str, text: str, keys: tuple[str, ...], do: Callable[[BoxDesk, Plane], object]) -> Action:
    return Action(action_id, "Mark", text, keys, lambda w: do(w.desk.boxes, w.plane), _selected_box)


# Boxes, measurements and names.
_MARKING: tuple[Action, ...] = (
    _take(Tool.BOX, "Draw a box", "K", "box"),
    _take(Tool.LENGTH, "Measure a length", "T", "length"),
    _take(Tool.BIDIRECTIONAL, "Measure two diameters", "Shift+T"),
    _take(Tool.ANGLE, "Measure an angle", "V"),
    _take(Tool.ELLIPSE, "Measure a region", "Shift+V"),
    _on_box("outline", "Outline inside the box", ("C",), lambda b, p: b.outline()),
    _on_box("split", "Split the box here", ("J",), lambda b, p: b.split(p, here=True)),
    _on_box("split-long", "Split the box in the middle", ("Shift+J",), lambda b, p: b.split(p, here=False)),
    _on_box("merge", "Merge boxes", ("U",), lambda b, p: b.merge()),
    _on_box("box-up", "Box up", ("Ctrl+Up",), lambda b, p: b.nudge(p, -1, 0)),
    _on_box("box-down", "Box down", ("Ctrl+Down",), lambda b, p: b.nudge(p, +1, 0)),
    _on_box("box-left", "Box to the left", ("Ctrl+Left",), lambda b, p: b.nudge(p, 0, -1)),
    _on_box("box-right", "Box to the right", ("Ctrl+Right",), lambda b, p: b.nudge(p, 0, +1)),
    _on_box("box-back", "Box a slice back", ("Ctrl+PgUp",), lambda b, p: b.nudge(p, 0, 0, -1)),
    _on_box("box-on", "Box a slice on", ("Ctrl+PgDown",), lambda b, p: b.nudge(p, 0, 0, +1)),
    _on_box("box-lower", "Box lower", ("Ctrl+Shift+Up",), lambda b, p: b.stretch(p, -1, 0)),
    _on_box("box-higher", "Box higher", ("Ctrl+Shift+Down",), lambda b, p: b.stretch(p, +1, 0)),
    _on_box("box-narrower", "Box narrower", ("Ctrl+Shift+Left",), lambda b, p: b.stretch(p, 0, -1)),
    _on_box("box-wider", "Box wider", ("Ctrl+Shift+Right",), lambda b, p: b.stretch(p, 0, +1)),
    _on_box("box-deeper", "Box a slice deeper each way", ("Ctrl+Shift+PgUp",), lambda b, p: b.deepen(p, +1)),
    _on_box("box-flatter", "Box a slice flatter each way", ("Ctrl+Shift+PgDown",), lambda b, p: b.deepen(p, -1)),
    Action("relabel", "Mark", "Call it something else…", ("Ctrl+L",), lambda w: w.term_finder.toggle(), _selected),
    Action("site", "Mark", "Say where it is…", ("Ctrl+Shift+L",), lambda w: w.site_finder.toggle(), _selected),
    Action("turn", "Mark", "Present or absent", ("Y",), lambda w: turn_over(w.session), _selected),
    Action("next-class", "Mark", "Next class's heatmap", ("Shift+H",), lambda w: w.next_class(), _selected),
    Action("delete", "Mark", "Delete what was drawn", ("Delete",), lambda w: w.desk.measures.delete(), _selected),
)

ACTIONS: tuple[Action, ...] = (
    Action("open-folder", "Open", "Open a folder…", ("Ctrl+O",), lambda w: w.ask_folder(), _always, "folder"),
    Action("open-files", "Open", "Open files…", ("Ctrl+Shift+O",), lambda w: w.ask_files(), _always),
    Action("demo", "Open", "Open the synthetic demo study", (), lambda w: w.open_demo(), _always),
    Action("next-series", "Open", "Next series", ("Tab",), lambda w: w.study_panel.step(+1)),
    Action("previous-series", "Open", "Previous series", ("Shift+Tab",), lambda w: w.study_panel.step(-1)),
    Action("slice-down", "Scroll", "Next slice", ("Down",), lambda w: looking.scroll(w.session, w.plane, +1)),
    Action("slice-up", "Scroll", "Previous slice", ("Up",), lambda w: looking.scroll(w.session, w.plane, -1)),
    Action("page-down", "Scroll", "10 slices on", ("PgDown",), lambda w: looking.scroll(w.session, w.plane, +10)),
    Action("page-up", "Scroll", "10 slices back", ("PgUp",), lambda w: looking.scroll(w.session, w.plane, -10)),
    Action("first-slice", "Scroll", "First slice", ("Home",), lambda w: looking.to_end(w.session, w.plane, -1)),
    Action("last-slice", "Scroll", "Last slice", ("End",), lambda w: looking.to_end(w.session, w.plane, +1)),
    Action(
        "layout",
        "See",
        "One pane or three planes",
        ("L",),
        lambda w: looking.layout(w.session, w.plane),
        icon="layout-three",
        checked=lambda w: w.session.view.layout is Layout.THREE,
    ),
    Action("plane", "See", "Axial, coronal, sagittal in turn", ("P",), lambda w: looking.next_plane(w.session)),
    Action("fit", "See", "Fit the image to the pane", ("F2",), lambda w: looking.fit(w.session), icon="fit"),
    Action("zoom-in", "See", "Zoom in", ("+", "="), lambda w: looking.zoom(w.session, w.plane, 1.25)),
    Action("zoom-out", "See", "Zoom out", ("-",), lambda w: looking.zoom(w.session, w.plane, 0.8)),
    Action(
        "invert",
        "See",
        "Swap black and white",
        ("I",),
        lambda w: looking.invert(w.session),
        icon="invert",
        checked=lambda w: w.session.view.invert,
    ),
    Action("fit-window", "See", "Window that fits the slice", ("0",), lambda w: looking.fit_window(w.session)),
    Action("reset", "See", "Reset zoom, shift and window", ("R",), lambda w: looking.reset(w.session), icon="reset"),
    Action(
        "overlays",
        "See",
        "Findings on or off",
        ("Space",),
        lambda w: looking.overlays(w.session),
        icon="eye",
        checked=lambda w: w.session.view.overlays,
    ),
    Action(
        "heatmap",
        "See",
        "Heatmap of the selected finding",
        ("H",),
        lambda w: looking.heatmap(w.session),
        checked=lambda w: w.session.view.heatmap,
    ),
    Action(
        "rejected",
        "See",
        "Show what was rejected",
        ("Shift+X",),
        lambda w: looking.rejected(w.session),
        checked=lambda w: w.session.view.rejected,
    ),
    Action(
        "original",
        "See",
        "Show what the model had drawn",
        ("O",),
        lambda w: looking.original(w.session),
        checked=lambda w: w.session.view.original,
    ),
    Action("full-screen", "See", "Full screen", ("F",), lambda w: w.toggle_full_screen(), _always),
    Action("models", "Read", "Models on or off", ("M",), lambda w: w.toggle_models(), _image, "model"),
    Action("read-all", "Read", "Read the whole series", ("Ctrl+R",), lambda w: w.read_all(), icon="model-read"),
    Action("cancel", "Read", "Stop what is running", ("Escape",), lambda w: w.escape(), _always),
    Action("next-finding", "Review", "Next undecided finding", ("N",), lambda w: w.desk.next(+1), _anywhere),
    Action("previous-finding", "Review", "Previous undecided", ("Shift+N",), lambda w: w.desk.next(-1), _anywhere),
    Action("accept", "Review", "Accept the finding", ("A",), lambda w: w.desk.accept(), _any_finding, "check"),
    Action("accept-all", "Review", "Accept all shown", ("Ctrl+A",), lambda w: w.desk.accept_all(), _any_finding),
    Action("reject", "Review", "Reject the finding…", ("X",), lambda w: w.desk.ask_reason(), _any_finding, "cross"),
    Action("reasons", "Review", "Reasons for rejecting…", (), lambda w: w.findings_panel.edit_reasons(), _image),
    Action("order", "Review", "List by number, score, size, position", ("Shift+L",), _sort, _any_finding),
    Action("find-name", "Review", "List by name…", ("/",), lambda w: w.findings_panel.listing_bar.type_name()),
    Action("lower-cutoff", "Review", "Show lower scores", (",",), lambda w: w.desk.cut(-CUTOFF_STEP), _any_finding),
    Action("raise-cutoff", "Review", "Hide lower scores", (".",), lambda w: w.desk.cut(CUTOFF_STEP), _any_finding),
    Action("list-all", "Review", "List all findings again", ("Shift+A",), lambda w: w.desk.list_all(), _any_finding),
    Action(
        "compare",
        "Review",
        "Compare two readings",
        ("Q",),
        lambda w: w.desk.compare(),
        _any_finding,
        checked=lambda w: w.session.view.compare is not None,
    ),
    Action(
        "compare-next", "Review", "Compare the next pair", ("Shift+Q",), lambda w: w.desk.compare_next(), _any_finding
    ),
    Action("edit", "Review", "Edit the finding", ("E",), lambda w: w.desk.edit(), _image, "pencil"),
    Action("why", "Review", "Why here? Ask the model", ("W",), lambda w: w.desk.why(), _selected),
    Action("restore", "Review", "Restore what the model drew", (), lambda w: w.desk.restore(), _selected, "restore"),
    Action(
        "brush",
        "Draw",
        "Brush",
        ("B",),
        lambda w: w.desk.take(Tool.BRUSH),
        icon="brush",
        checked=_tool(Tool.BRUSH),
    ),
    Action(
        "eraser",
        "Draw",
        "Eraser",
        ("D",),
        lambda w: w.desk.take(Tool.ERASER),
        icon="eraser",
        checked=_tool(Tool.ERASER),
    ),
    Action("smaller", "Draw", "Smaller brush", ("[",), lambda w: w.desk.resize_brush(1 / 1.25)),
    Action("larger", "Draw", "Larger brush", ("]",), lambda w: w.desk.resize_brush(1.25)),
    Action(
        "sphere",
        "Draw",
        "Ball instead of disc",
        ("S",),
        lambda w: w.toggle_sphere(),
        checked=lambda w: w.session.view.brush.sphere,
    ),
    *_MARKING,
    *EDITING,
    Action("undo", "Draw", "Undo", ("Ctrl+Z",), lambda w: w.desk.undo(), lambda w: bool(w.session.undo_label), "undo"),
    Action(
        "redo",
        "Draw",
        "Redo",
        ("Ctrl+Y", "Ctrl+Shift+Z"),
        lambda w: w.desk.redo(),
        lambda w: bool(w.session.redo_label),
        "redo",
    ),
    Action("export", "Send", "Export as DICOM…", ("Ctrl+E",), lambda w: w.open_export(), _leaving, "export"),
    Action("outbox", "Send", "What waits for receivers…", (), lambda w: w.outgoing.show(), _always),
    Action("reader", "Send", "Change the reader's name…", (), lambda w: w.open_export(), _always),
    Action("sheet", "Help", "Keys and mouse", ("F1",), lambda w: w.toggle_sheet(), _always, "help"),
    Action("palette", "Help", "Find an action", ("Ctrl+K",), lambda w: w.toggle_palette(), _always, "search"),
    Action("settings", "Help", "Settings", ("Ctrl+,",), lambda w: w.show_settings(), _always),
    Action("plugins", "Help", "Plug-ins and models", (), lambda w: w.show_plugins(), _always),
    Action("quit", "Help", "Quit", ("Ctrl+Q",), lambda w: w.close(), _always),
    *(Action(f"preset-{n}", "See", f"Window preset {n}", (str(n),), _preset(n)) for n in range(1, 10)),
)

BY_ID = {action.id: action for action in ACTIONS}

# What the mouse does; for the sheet.
MOUSE: tuple[tuple[str, str], ...] = (
    ("Wheel", "slice by slice"),
    ("Shift + wheel", "10 slices"),
    ("Ctrl + wheel", "zoom where the mouse is"),
    ("Alt + wheel", "size of the brush"),
    ("Wheel, drawing a box", "deeper, flatter"),
    ("Drag a box's line", "resize at corners, move"),
    ("Ctrl + click", "mark a box to merge"),
    ("Left drag", "window, or draw with a tool in hand"),
    *MOUSE_EDITING,
    ("Click", "put the crosshair there, pick a finding"),
    ("Middle drag", "shift the image"),
    ("Right drag", "zoom"),
    ("Double click", "this plane alone, or three planes again"),
)
