"""Export: what leaves, in whose name, where to; then the files that are there. Nothing modal."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices, QHideEvent, QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind
from overread.domain.study import Stack
from overread.session.jobs import Job
from overread.session.session import Session
from overread.ui import style


class ExportPanel(QFrame):
    """The drawer at the foot of the findings."""

    exported = Signal(list)
    shown = Signal(bool)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setObjectName("card")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 12)
        column.setSpacing(6)
        head = QHBoxLayout()
        title = QLabel("Export as DICOM")
        title.setFont(style.font(13, bold=True))
        head.addWidget(title, 1)
        close = QPushButton("Close")
        close.clicked.connect(self.hide)
        head.addWidget(close)
        column.addLayout(head)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        column.addWidget(self.summary)
        self.name = QLineEdit()
        self.name.setPlaceholderText("Your name")
        self.name.setAccessibleName("Reader's name")
        self.name.editingFinished.connect(self._named)
        column.addWidget(_labelled("Reader", self.name))
        self.folder = QLineEdit()
        self.folder.setAccessibleName("Folder for the files")
        column.addWidget(_labelled("Folder", self.folder))
        row = QHBoxLayout()
        choose = QPushButton("Choose…")
        choose.clicked.connect(self._choose)
        row.addWidget(choose)
        self.go = QPushButton("Export SEG and SR")
        self.go.setObjectName("primary")
        self.go.setAutoDefault(True)  # Return presses it: Space shows and hides findings
        self.go.clicked.connect(self.start)
        row.addWidget(self.go, 1)
        column.addLayout(row)
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.result.setFont(style.font(12))
        self.result.setOpenExternalLinks(False)
        self.result.linkActivated.connect(lambda link: QDesktopServices.openUrl(QUrl(link)))
        column.addWidget(self.result)
        self._job: Job | None = None
        self.hide()
        session.findings_changed.connect(lambda old, new: self.refresh())
        session.image_changed.connect(self._image_changed)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Tell that the drawer is open."""
        self.shown.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Tell that it is closed."""
        self.shown.emit(False)

    def open(self) -> None:
        """Show the drawer, filled with what was used last."""
        settings = self.session.settings
        self.name.setText(settings.reader)
        self.folder.setText(settings.export_folder or str(Path.home() / "Overread"))
        self.result.hide()
        self.refresh()
        self.show()
        (self.go if self.go.isEnabled() else self.name).setFocus()

    def _image_changed(self, old: object, new: object) -> None:
        self.result.hide()
        self.refresh()

    def refresh(self) -> None:
        """Say what would leave now."""
        leaving = [finding for finding in self.session.shown_findings if finding.status.leaves]
        waiting = [finding for finding in self.session.shown_findings if finding.status.value == "proposed"]
        image = self.session.image
        series = (image.stack.identity.series_description if image else "") or "this series"
        what = ", ".join(_leaving_text(finding) for finding in leaving)
        text = f"From {series}: {what}." if leaving else "Nothing is accepted on this series yet."
        if waiting:
            text += f" {len(waiting)} undecided stay here."
        self.summary.setText(text)
        self.go.setText("Export SEG and SR" if any(finding.mask for finding in leaving) else "Export SR")
        self.go.setEnabled(bool(leaving) and (self._job is None or not self._job.running))

    def _named(self) -> None:
        name = self.name.text().strip()
        if name and name != self.session.settings.reader:
            self.session.change_settings(replace(self.session.settings, reader=name))

    def _choose(self) -> None:
        dialog = QFileDialog(self, "Folder for the exported files", self.folder.text())
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self.folder.setText)
        dialog.open()

    def start(self) -> None:
        """Write, check and put in place, on a worker."""
        image, folder = self.session.image, self.folder.text().strip()
        self._named()
        if image is None or not self.go.isEnabled():
            return
        if not self.name.text().strip() or not folder:
            self._failed(UserError("A reader's name and a folder are needed."))
            return
        stack, reader = image.stack, self.session.reader
        findings = [finding for finding in self.session.shown_findings if finding.status.leaves]
        self.session.change_settings(replace(self.session.settings, export_folder=folder))

        def work(job: Job) -> Any:
            from overread.dicom.export import export  # highdicom takes a second to import; the worker can wait

            return export(stack, findings, Path(folder).expanduser(), reader)

        def done(written: Any) -> None:
            self._done(written, stack)

        self._job = self.session.jobs.call("Exporting", work, done, self._failed)
        self.result.setText("Writing and checking …")
        self.result.setStyleSheet(f"color: {style.QUIET};")
        self.result.show()
        self.refresh()

    def _done(self, written: Any, stack: Stack) -> None:
        self._job = None
        names = "<br>".join(item.path.name for item in written)
        folder = written[0].path.parent
        link = (
            f'<a style="color: {style.ACTIVE}" href="{QUrl.fromLocalFile(str(folder)).toString()}">Open the folder</a>'
        )
        remarks = "".join(f"<br>{html.escape(item.remark)}" for item in written if item.remark)
        self.result.setText(f"Written, read back and checked:<br>{names}{remarks}<br>{link}")
        self.result.setStyleSheet(f"color: {style.ACCEPTED};")
        self.session.note("export", ", ".join(item.path.name for item in written), stack.identity)
        self.refresh()
        self.exported.emit(list(written))

    def _failed(self, error: BaseException) -> None:
        self._job = None
        self.refresh()
        if not isinstance(error, UserError):
            self.result.hide()
            raise error
        self.result.setText(str(error))
        self.result.setStyleSheet(f"color: {style.DANGER};")
        self.result.show()


def _leaving_text(finding: Finding) -> str:
    """What is said of a finding before it leaves; of a class, whether it is there."""
    name = finding.title
    if finding.kind is Kind.CLASSIFICATION:
        name = f"{finding.label} {'present' if finding.positive else 'absent'}"
    return f"{name} ({finding.status.value})"


def _labelled(text: str, widget: QWidget) -> QWidget:
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    label = QLabel(text)
    label.setProperty("quiet", True)
    label.setFixedWidth(56)
    row.addWidget(label)
    row.addWidget(widget, 1)
    return box
