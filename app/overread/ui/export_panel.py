"""Export: what leaves, in whose name, where to; then the files that are there. Nothing modal."""

from __future__ import annotations

import html
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices, QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Status
from overread.domain.reasons import heatmaps
from overread.domain.study import Stack
from overread.network.nodes import Node
from overread.session.jobs import Job
from overread.session.session import Session
from overread.session.settings import Settings
from overread.ui import style
from overread.ui.export_kinds import ExportKinds, Registry, registry
from overread.ui.export_nameless import ExportNameless

if TYPE_CHECKING:
    from overread.dicom.product import Product


# So many names of files are told one by one.
_MANY = 4
_NOBODY = "files alone"


class ExportPanel(QFrame):
    """The drawer at the foot of the findings."""

    exported = Signal(list)
    shown = Signal(bool)
    receiver_changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setObjectName("card")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 12)
        column.setSpacing(6)
        head = QHBoxLayout()
        title = QLabel("Export")
        title.setFont(style.font(13, bold=True))
        head.addWidget(title, 1)
        close = QPushButton("Close")
        close.clicked.connect(self.hide)
        head.addWidget(close)
        column.addLayout(head)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        column.addWidget(self.summary)
        self.receiver = QComboBox()
        self.receiver.setAccessibleName("Receiver")
        self.receiver.activated.connect(self._receiver_chosen)
        self._receivers = _labelled("Receiver", self.receiver)
        column.addWidget(self._receivers)
        self.kinds = ExportKinds()
        self.kinds.changed.connect(self.refresh)
        column.addWidget(self.kinds)
        self.name = QLineEdit()
        self.name.setPlaceholderText("Your name")
        self.name.setAccessibleName("Reader's name")
        self.name.editingFinished.connect(self._named)
        column.addWidget(_labelled("Reader", self.name))
        self.folder = QLineEdit()
        self.folder.setAccessibleName("Folder for the files")
        column.addWidget(_labelled("Folder", self.folder))
        self.resample = QCheckBox("Resample onto an upright grid")
        self.resample.toggled.connect(self.refresh)
        column.addWidget(self.resample)
        self.resampling = QLabel(
            "The gantry was tilted, and SEG, RTSTRUCT and the like are drawn wrongly on sheared slices. A derived "
            "series leaves with them: the image linear, outlines at most half a pixel off."
        )
        self.resampling.setWordWrap(True)
        self.resampling.setProperty("quiet", True)
        self.resampling.setFont(style.font(12))
        column.addWidget(self.resampling)
        self.rejected = QCheckBox("Tell what was rejected")
        self.rejected.toggled.connect(self.refresh)
        column.addWidget(self.rejected)
        self.nameless = ExportNameless()
        self.nameless.changed.connect(self.refresh)
        column.addWidget(self.nameless)
        self.sign = QCheckBox("I sign the report (VERIFIED)")
        self.sign.toggled.connect(self.refresh)
        column.addWidget(self.sign)
        row = QHBoxLayout()
        choose = QPushButton("Choose…")
        choose.clicked.connect(self._choose)
        row.addWidget(choose)
        self.go = QPushButton("Export")
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
        session.settings_changed.connect(self._settings_changed)
        self._list_receivers()

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
        self.sign.setChecked(False)  # each time anew: a signature is no habit, and no consent is
        self.resample.setChecked(False)
        self.refresh()
        self.show()
        self.name.setFocus()
        self.session.jobs.call("Looking up what can be exported", registry, self._offer, quiet=True)

    def _offer(self, found: Registry) -> None:
        products, self._profiles_of = found
        settings = self.session.settings
        self.kinds.fill(products, self._profiles_of(settings.profiles), settings.export_profile)
        self._receiver_chosen()
        if self.isVisible() and self.name.text() and self.name.hasFocus():
            self.go.setFocus()

    # Whom it goes to

    @property
    def node(self) -> Node | None:
        """The receiver that is chosen; None where files are all that is wanted."""
        name = self.receiver.currentData()
        return next((node for node in self.session.settings.nodes if node.name == name), None)

    def _list_receivers(self) -> None:
        chosen = self.receiver.currentData() if self.receiver.count() > 1 else None  # without a choice, none was made
        self.receiver.clear()
        for node in self.session.settings.nodes:
            self.receiver.addItem(node.name, node.name)
        self.receiver.addItem(_NOBODY, "")
        self.receiver.setCurrentIndex(0 if chosen is None else max(0, self.receiver.findData(chosen)))
        self._receivers.setVisible(self.receiver.count() > 1)
        self._show_name()

    def _show_name(self) -> None:
        """A long name has no room in the drawer."""
        self.receiver.setToolTip(self.receiver.currentText())

    def _receiver_chosen(self) -> None:
        """The receiver's profile is the one to export by, where it names one."""
        node = self.node
        self._show_name()
        if node is not None and node.profile and self.kinds.ready and not self.kinds.choose(node.profile):
            self._failed(
                UserError(f"{node.name} is said to open {node.profile}, and there is no such profile.", "See Settings.")
            )
        self.receiver_changed.emit()

    def _settings_changed(self, old: Settings, new: Settings) -> None:
        if old.profiles != new.profiles and self.kinds.ready:
            self.kinds.renew(self._profiles_of(new.profiles))
        if old.nodes != new.nodes:
            name = self.receiver.currentData()
            before = next((node for node in old.nodes if node.name == name), None)
            self._list_receivers()
            if self.node != before:
                self._receiver_chosen()

    def _image_changed(self, old: object, new: object) -> None:
        self.result.hide()
        self.refresh()

    def refresh(self) -> None:
        """Say what would leave now, what stays, and why."""
        shown, image = self.session.shown_findings, self.session.image
        leaving = [finding for finding in shown if finding.status.leaves and not finding.erased]
        waiting = sum(finding.status is Status.PROPOSED for finding in shown)
        rejected = sum(finding.status is Status.REJECTED and finding.given for finding in shown)
        self._ask_to_resample(image.stack if image else None)
        resample = self.resample.isVisibleTo(self) and self.resample.isChecked()
        self.kinds.show_room(image.stack if image else None, leaving, resample=resample)
        chosen = self.kinds.products
        told = self.rejected.isChecked() and bool(rejected) and any(product.tells_rejected for product in chosen)
        self.rejected.setText(f"Tell what was rejected, and why ({rejected})")
        self.rejected.setEnabled(bool(rejected))
        self.sign.setEnabled(not waiting)
        if waiting:
            self.sign.setChecked(False)
        self.sign.setToolTip("Nothing is signed while findings wait for a verdict." if waiting else "")
        series = (image.stack.identity.series_description if image else "") or "this series"
        what = ", ".join(_leaving_text(finding) for finding in leaving)
        text = f"From {series}: {what}." if leaving else "Nothing is accepted on this series yet."
        if waiting:
            text += f" {waiting} undecided stay here."
        carried: list[Product] = []
        if image is not None and chosen:
            room = partial(_room, image.stack, resample=resample)
            carried = [p for p in chosen if (told and p.tells_rejected) or any(not room(f, p) for f in leaving)]
            staying = {f.title: room(f, chosen[0]) for f in leaving if all(room(f, p) for p in chosen)}
            text += "".join(f" {title} stays: {why}" for title, why in staying.items())
        self.summary.setText(text)
        names = [product.name.upper() for product in carried]
        self.go.setText(
            f"Export {' and '.join(names)}"
            if 0 < len(names) < 3
            else f"Export {len(names)} kinds"
            if names
            else "Export"
        )
        self.go.setEnabled(bool(carried) and (self._job is None or not self._job.running))

    def _ask_to_resample(self, stack: Stack | None) -> None:
        """Offer to resample slices that a tilted gantry has sheared, and say what it does."""
        tilted = False
        if stack is not None and self.kinds.ready:
            from overread.dicom.upright import cannot, sheared  # imported by now: the kinds are known

            tilted = sheared(stack) and not cannot(stack)
        self.resample.setVisible(tilted)
        self.resampling.setVisible(tilted)

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
        from overread.dicom.export import Terms  # imported by now: the kinds are known
        from overread.session.leaving import left_before

        stack, reader = image.stack, self.session.reader
        findings, chosen = self.session.shown_findings, self.kinds.products
        volume = image.volume if image.ready.whole else None
        window = self.session.view.window if self.session.view.window.width > 0 else None
        resample = self.resample.isVisibleTo(self) and self.resample.isChecked()
        catalogue = self.session.sources.catalogue
        images = [other for other in catalogue.stacks if other.identity.study_uid == stack.identity.study_uid]
        try:
            how = self.nameless.how
            earlier = left_before(self.session.journal(stack.identity))
        except UserError as error:
            self._failed(error)
            return
        signer = reader if self.sign.isChecked() else None
        terms = Terms(self.rejected.isChecked(), signer, resample, how)
        settings = replace(self.session.settings, export_folder=folder, export_profile=self.kinds.name)
        self.session.change_settings(settings)

        def work(job: Job) -> Any:
            from overread.dicom.export import export

            where = Path(folder).expanduser()
            more: Any = {"volume": volume, "window": window, "earlier": earlier, "images": images}
            return export(stack, findings, where, reader, chosen, terms, **more)

        def done(written: Any) -> None:
            self._done(written, stack)

        self._job = self.session.jobs.call("Exporting", work, done, self._failed)
        self.result.setText("Writing and checking …")
        self.result.setStyleSheet(f"color: {style.QUIET};")
        self.result.show()
        self.refresh()

    def _done(self, written: Any, stack: Stack) -> None:
        from overread.session.leaving import export_record, names

        self._job = None
        said = names(written)
        if len(said) > _MANY:  # the folder shows the rest
            said = list(dict.fromkeys(item.kind for item in written))
            said = [f"{len(written)} files: {', '.join(said)}"]
        files = "<br>".join(html.escape(name) for name in said)
        folder = written[0].path.parent
        link = (
            f'<a style="color: {style.ACTIVE}" href="{QUrl.fromLocalFile(str(folder)).toString()}">Open the folder</a>'
        )
        remarks = "".join(f"<br>{html.escape(item.remark)}" for item in written if item.remark)
        self.result.setText(f"Written, read back and checked:<br>{files}{remarks}<br>{link}")
        self.result.setStyleSheet(f"color: {style.ACCEPTED};")
        label, record = export_record(written)
        self.session.note("export", label, stack.identity, record)
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


def _room(stack: Stack, finding: Finding, product: Product, *, resample: bool) -> str:
    return product.room(stack, finding, resample=resample)


def _leaving_text(finding: Finding) -> str:
    """What is said of a finding before it leaves: how many heatmaps it has; of a class, whether it is there."""
    name = finding.title
    if finding.kind is Kind.CLASSIFICATION:
        name = f"{finding.label} {'present' if finding.positive else 'absent'}"
    maps = len(heatmaps(finding))
    return f"{name} ({finding.status.value}{f', {maps} heatmap' if maps else ''}{'s' if maps > 1 else ''})"


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
