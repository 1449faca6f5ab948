"""The actions that change outlines. They stand in the table of all actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overread.domain.view import Tool
from overread.ui.action import Action, Do, Test
from overread.ui.editor import Page

if TYPE_CHECKING:
    from overread.ui.main_window import MainWindow


def _tool(action_id: str, text: str, key: str, tool: Tool) -> Action:
    def taken(window: MainWindow) -> bool:
        return window.session.view.tool is tool

    return Action(action_id, "Draw", text, (key,), lambda w: w.desk.take(tool), checked=taken)


def _chosen(window: MainWindow) -> bool:
    return window.desk.editor.editing.target is not None


def _shown(page: Page) -> Test:
    return lambda w: w.desk.editor.page is page


def _page(page: Page) -> Do:
    """Show the numbers of a change; asked for once more, make it."""

    def do(window: MainWindow) -> None:
        editor = window.desk.editor
        if editor.page is page:
            editor.apply(page, window.plane)
        else:
            editor.open(page)

    return do


def _change(action_id: str, text: str, key: str, page: Page) -> Action:
    return Action(action_id, "Change", text, (key,), _page(page), _chosen, checked=_shown(page))


def _copy(action_id: str, text: str, key: str, step: int) -> Action:
    return Action(action_id, "Change", text, (key,), lambda w: w.desk.editor.copy(w.plane, step), _chosen)


EDITING: tuple[Action, ...] = (
    _tool("smart-brush", "Brush that follows edges", "Shift+B", Tool.SMART),
    _tool("lasso", "Lasso", "G", Tool.LASSO),
    _tool("polygon", "Polygon", "Shift+P", Tool.POLYGON),
    _tool("scissors", "Scissors", "Shift+C", Tool.SCISSORS),
    _tool("scribbles", "Scribbles that grow", "Shift+S", Tool.SCRIBBLE),
    _tool("pick-part", "Keep the part that is clicked", "Shift+I", Tool.PICK),
    _change("values", "Keep values in a range…", "Shift+R", Page.RANGE),
    _change("margin", "Margin in mm…", "Shift+M", Page.MARGIN),
    _change("smooth", "Smooth…", "Shift+O", Page.SMOOTH),
    _change("islands", "Islands…", "Shift+K", Page.ISLANDS),
    _change("holes", "Fill holes…", "Shift+F", Page.HOLES),
    _change("between", "Fill between slices…", "Shift+G", Page.BETWEEN),
    _change("combine", "Combine with another finding…", "Shift+U", Page.COMBINE),
    Action("colour", "Change", "Colour of the finding…", (), lambda w: w.findings_panel.tool_box.ask_colour(), _chosen),
    _copy("copy-next", "Copy the slice to the next one", "Shift+PgDown", +1),
    _copy("copy-previous", "Copy the slice to the one before", "Shift+PgUp", -1),
)

# What the mouse does with these tools; for the sheet.
MOUSE_EDITING: tuple[tuple[str, str], ...] = (
    ("Shift + left drag", "erase, or the other side"),
    ("Return", "close an outline, grow scribbles"),
)
