"""The findings on the right: the models, what they propose, what became of it, and the way out."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from overread.domain.finding import Finding, Kind, Status
from overread.domain.listing import grouped
from overread.domain.view import Tool, ViewState
from overread.session.classes import trust
from overread.session.portraits import Portraits
from overread.session.state import Image, Phase, Reading
from overread.ui import looking, style
from overread.ui.compare_panel import ComparePanel
from overread.ui.desk import Desk
from overread.ui.export_panel import ExportPanel
from overread.ui.finding_card import FindingCard
from overread.ui.finding_list import FindingList, Row
from overread.ui.heat_bar import HeatBar
from overread.ui.listing_bar import ListingBar
from overread.ui.model_rows import ModelRow
from overread.ui.more_buttons import more_buttons
from overread.ui.portrait_view import PortraitView
from overread.ui.reasons import Reasons
from overread.ui.tool_box import ToolBox

# Below this height the list and the export drawer have no room for each other.
_LOW, _ANY_HEIGHT = 900, 16_777_215


class FindingsPanel(QFrame):
    """Everything about findings that is not on the image."""

    triggered = Signal(str)  # id of an action of the table

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session = desk, desk.session
        self.setObjectName("panel")
        self.portraits = Portraits(self.session, self._refresh_portrait)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 10, 0, 10)
        column.setSpacing(6)
        self.models = {r.model_id: ModelRow(r) for r in self.session.runs.readings.values()}
        column.addWidget(_heading("MODELS"))
        for row in self.models.values():
            row.switched.connect(self.session.toggle_model)
            row.stopped.connect(self.session.runs.pause)
            row.asked_all.connect(self.session.runs.read_all)
            column.addWidget(row)
        if not self.models:
            none = _quiet("No model is installed.")
            none.setContentsMargins(12, 2, 12, 2)
            column.addWidget(none)
        self.heading = _heading("FINDINGS")
        column.addWidget(self.heading)
        self._add_shown(column)
        self.listing_bar: ListingBar = ListingBar(desk)
        column.addWidget(self.listing_bar)
        self.list = FindingList()
        self.list.chosen.connect(self._choose)
        self.list.hide_asked.connect(self._hide)
        column.addWidget(self.list, 1)
        self._empty = _quiet("")
        self._empty.setContentsMargins(12, 2, 12, 2)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._empty, 1)  # in the list's place, so that what stands above stays where it is
        self._folded = QToolButton()
        self._folded.clicked.connect(lambda: self.triggered.emit("rejected"))
        column.addWidget(self._folded)
        foot = QVBoxLayout()
        foot.setContentsMargins(8, 0, 8, 0)
        self.tool_box: ToolBox = ToolBox(desk)
        self.tool_box.triggered.connect(self.triggered)
        foot.addWidget(self.tool_box)
        self.heat_bar = HeatBar(desk)
        foot.addWidget(self.heat_bar)
        self.compare_panel = ComparePanel(self.desk)
        foot.addWidget(self.compare_panel)
        self.export_panel = ExportPanel(self.session)
        foot.addWidget(self.export_panel)
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip("Export as DICOM (Ctrl+E)")
        self.export_button.clicked.connect(lambda: self.triggered.emit("export"))
        foot.addWidget(self.export_button)
        self.export_panel.shown.connect(lambda shown: self.export_button.setVisible(not shown))
        self.export_panel.shown.connect(lambda shown: self._make_room())
        column.addLayout(foot)
        self.session.findings_changed.connect(lambda old, new: self.rebuild())
        self.session.image_changed.connect(self._image_changed)
        self.session.view_changed.connect(self._view_changed)
        self.session.reading_changed.connect(self._reading_changed)
        self.session.settings_changed.connect(lambda old, new: self._show_models())
        desk.asked_reason.connect(self.ask_reason)
        self._show_models()
        self.rebuild()

    def _add_shown(self, column: QVBoxLayout) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(12, 0, 12, 0)
        self.eye = QToolButton()
        self.eye.setToolTip("Findings on or off (Space)")
        self.eye.setAccessibleName("Findings on or off")
        self.eye.clicked.connect(lambda: self.triggered.emit("overlays"))
        row.addWidget(self.eye)
        label = QLabel("Fill")
        label.setProperty("quiet", True)
        row.addWidget(label)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setAccessibleName("Strength of the fill")
        self.opacity.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.opacity.valueChanged.connect(lambda value: looking.opacity(self.session, value / 100))
        self.opacity.sliderReleased.connect(self._keep_opacity)
        row.addWidget(self.opacity, 1)
        column.addLayout(row)

    def _keep_opacity(self) -> None:
        self.session.change_settings(replace(self.session.settings, opacity=self.session.view.opacity))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """On a low screen the drawer takes the place of the list, and of models that have nothing to do here."""
        self._make_room()
        super().resizeEvent(event)

    def _make_room(self) -> None:
        for row in self.models.values():
            row.setVisible(not (self._crowded and row.idle))
        self.listing_bar.setMaximumHeight(0 if self._crowded else _ANY_HEIGHT)
        self.list.setVisible(bool(self.list.rows) and not self._crowded)

    @property
    def _crowded(self) -> bool:
        """Whether the drawer is open on a low screen."""
        return self.export_panel.isVisible() and self.height() < _LOW

    # What changed

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        if (old is None) != (new is None):
            self.rebuild()
        elif new is not None and new.ready.complete:
            self._refresh_portrait()

    def _view_changed(self, old: ViewState, new: ViewState) -> None:
        if (old.overlays, old.opacity) != (new.overlays, new.opacity):
            self._show_overlays(new)
        watched = ("selected", "hidden", "rejected", "tool", "listing")
        if any(getattr(old, name) != getattr(new, name) for name in watched):
            self.rebuild()
        elif self.list.card is not None and self.list.card.portrait is not None:
            looks = ("window", "invert", "opacity", "original")
            if any(getattr(old, name) != getattr(new, name) for name in looks):
                self.list.card.portrait.later()

    def _reading_changed(self, reading: Reading) -> None:
        row = self.models.get(reading.model_id)
        if row is not None:
            row.show_reading(reading, on=reading.model_id in self.session.settings.models_on)
            row.setVisible(not (self._crowded and row.idle))
        self._show_empty()

    def _show_models(self) -> None:
        for model_id, row in self.models.items():
            on = model_id in self.session.settings.models_on
            row.show_reading(self.session.runs.readings[model_id], on=on)

    def _show_overlays(self, view: ViewState) -> None:
        self.eye.setIcon(style.icon("eye" if view.overlays else "eye-off"))
        self.opacity.blockSignals(True)
        self.opacity.setValue(round(view.opacity * 100))
        self.opacity.blockSignals(False)

    def rebuild(self) -> None:
        """Show the list as it is now."""
        view, image = self.session.view, self.session.image
        self._show_overlays(view)
        self.listing_bar.refresh()
        findings = self.session.shown_findings
        undecided = sum(finding.status is Status.PROPOSED for finding in findings)
        rejected = sum(finding.status is Status.REJECTED for finding in findings)
        count = f"FINDINGS   {len(findings) - rejected}" if findings else "FINDINGS"
        self.heading.setText(f"{count} · {undecided} undecided" if undecided else count)
        rows: list[Row] = []
        if image is not None:
            grid, chosen, hidden = image.stack.grid, view.selected, view.hidden
            rows = [Row(f, grid, f.id in hidden, f.id == chosen) for f in grouped(self.desk.listed)]
        shown = next((row for row in rows if row.selected), None)
        self.list.show_rows(rows, (shown, view.tool), lambda: self._card(shown, view))
        self._folded.setText(f"{'Hide' if view.rejected else 'Show'} {rejected} rejected")
        self._folded.setVisible(bool(rejected) and not view.listing.statuses)
        self._show_empty()
        leaving = sum(finding.status.leaves for finding in findings)
        self.export_button.setText(f"Export {leaving} finding{'s' if leaving != 1 else ''}…" if leaving else "Export…")
        self.export_button.setEnabled(bool(leaving))

    def _card(self, row: Row | None, view: ViewState) -> FindingCard:
        assert row is not None
        card = FindingCard(row.finding, row.grid, hidden=row.hidden)
        card.chosen.connect(self._choose)
        card.hide_asked.connect(self._hide)
        if row.finding.bounds is not None:
            card.portrait = PortraitView(self.desk, self.portraits, row.finding, row.grid)
            card.add(card.portrait)
        believed = trust(row.finding, self.session.detectors)
        if believed:
            card.add(_quiet(believed))
        verdicts = self._buttons(row.finding, view)
        for at in range(0, len(verdicts), 3 if len(verdicts) < 4 else 2):  # four in a row have no room for their words
            card.add_buttons(verdicts[at : at + (3 if len(verdicts) < 4 else 2)])
        if self.desk.explanations.answerable(row.finding):
            card.add_buttons([self._button("why", "Why here?  W")])
        outlines = self.desk.boxes.outlines.model(row.finding) is not None
        for entries in more_buttons(row.finding, outlines=outlines):
            card.add_buttons([self._button(action_id, text) for action_id, text in entries])
        return card

    def _refresh_portrait(self) -> None:
        card = self.list.card
        if card is not None and card.portrait is not None:
            card.portrait.refresh()

    def _buttons(self, finding: Finding, view: ViewState) -> list[QPushButton]:
        editing = view.tool is not Tool.WINDOW
        wanted = [("accept", "Accept  A"), ("edit", "Done  E" if editing else "Edit  E"), ("reject", "Reject  X")]
        if finding.kind is Kind.CLASSIFICATION:
            # What is agreed with has to be plain: below the threshold it is that nothing is there.
            agreed = "present" if finding.positive else "absent"
            wanted = [("accept", f"Accept: {agreed}  A"), ("reject", "Reject  X")]
            if finding.heatmap is not None:
                wanted.append(("heatmap", "Heatmap  H"))
        if finding.kind is Kind.ANNOTATION:
            wanted = [("accept", "Accept  A"), ("reject", "Reject  X")]
        if finding.status.leaves:
            wanted = wanted[1:]
        if finding.kind is Kind.MEASUREMENT:
            wanted = [("reject", "Reject  X")]
        if finding.restorable:
            wanted.append(("restore", "Restore"))
        return [self._button(action_id, text) for action_id, text in wanted]

    def _button(self, action_id: str, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: self.triggered.emit(action_id))
        return button

    def _show_empty(self) -> None:
        """Where the list is empty, say why: an empty list is no answer."""
        self._empty.setVisible(not self.list.rows)
        self._make_room()
        image = self.session.image
        phases = {reading.phase for reading in self.session.runs.readings.values()}
        if image is None:
            text = "Open a study, and what models see in it stands here."
        elif self.session.shown_findings and self.desk.unseen:
            text = f"Nothing is shown: {self.desk.unseen}."
        elif phases & {Phase.STARTING, Phase.RUNNING, Phase.WAITING, Phase.PAUSED}:
            text = "Being read …"
        elif Phase.NOTHING in phases:
            text = "The model looked and found nothing."
            text += " Press B to draw a finding of your own." if image.stack.grid.oriented else ""
        elif not image.stack.grid.oriented:
            text = "Findings cannot be drawn here yet: this image has no place in the patient."
        elif phases <= {Phase.OFF}:
            text = "No model is switched on. Press M to switch it on, or B to draw a finding."
        else:
            text = "No findings. Press B to draw one."
        self._empty.setText(text)

    def _choose(self, finding_id: str) -> None:
        finding = next((f for f in self.session.shown_findings if f.id == finding_id), None)
        if finding is not None:
            looking.show(self.session, finding)

    def _hide(self, finding_id: str) -> None:
        finding = next((f for f in self.session.shown_findings if f.id == finding_id), None)
        if finding is not None:
            looking.hide(self.session, finding)

    def ask_reason(self) -> Reasons:
        """Offer the reasons beside the finding."""
        popup = Reasons(self.session.settings.reasons, self)
        popup.chosen.connect(self.desk.reject)
        popup.changed.connect(self._new_reasons)
        popup.adjustSize()
        anchor: QWidget = self.list.card or self.list
        at = anchor.mapToGlobal(QPoint(12, 44))
        screen = self.screen().availableGeometry()
        popup.move(
            min(at.x(), screen.right() - popup.width()),
            max(screen.top(), min(at.y(), screen.bottom() - popup.height())),
        )
        popup.show()
        return popup

    def edit_reasons(self) -> None:
        """Edit the list of reasons."""
        self.ask_reason().open_editor()

    def _new_reasons(self, reasons: tuple[str, ...]) -> None:
        self.session.change_settings(replace(self.session.settings, reasons=reasons))


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("heading", True)
    label.setFont(style.font(12, bold=True))
    label.setContentsMargins(12, 6, 12, 0)
    return label


def _quiet(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("quiet", True)
    label.setWordWrap(True)
    label.setContentsMargins(6, 2, 6, 2)
    return label
