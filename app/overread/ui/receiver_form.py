"""The fields of a receiver: those of its kind, each with what to do where it makes no sense."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from overread.network.nodes import Node, NodeError
from overread.ui import style

_SPEAKS = {"dimse": "DICOM (C-STORE)", "dicomweb": "DICOMweb (STOW-RS)"}
_NO_PROFILE = "whatever was chosen last"
_ANY, _FILES = ("dimse", "dicomweb"), ("token_file", "ca", "cert", "key")
# Field, label, the kinds that have it, and what to do where it makes no sense.
_FIELDS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("name", "Name", _ANY, "Give it a name that no other receiver has."),
    ("kind", "It speaks", _ANY, "Choose one of the two."),
    ("profile", "It opens", _ANY, "Choose a profile."),
    ("host", "Machine", ("dimse",), "Name the machine, as pacs.hospital or 10.0.0.5, without a port."),
    ("port", "Port", ("dimse",), "Give a number from 1 to 65535; 104 and 11112 are usual."),
    ("ae_title", "Its AE title", ("dimse",), "Give 1 to 16 plain characters, without a backslash."),
    ("calling", "Our AE title", ("dimse",), "Give 1 to 16 plain characters, without a backslash."),
    ("tls", "", ("dimse",), ""),
    ("commit_port", "Port for commitment", ("dimse",), "Give a port of this machine, or none."),
    ("url", "Address", ("dicomweb",), "Write https://HOST[:PORT]/PATH. A token goes nowhere without https."),
    ("token_file", "File with the token", ("dicomweb",), "Give the file or the variable, not both."),
    ("token_env", "… or variable with it", ("dicomweb",), "Give the file or the variable, not both."),
    ("ca", "Whom to trust (PEM)", _ANY, "It means nothing without encryption: encrypt, or leave it empty."),
    ("cert", "Our certificate (PEM)", _ANY, "It needs its key, and encryption; or leave it empty."),
    ("key", "… and its key (PEM)", _ANY, "It needs its certificate, and encryption; or leave it empty."),
    ("timeout_s", "Longest wait", _ANY, "Give a number of seconds from 1 to 3600."),
)
_LABELS = {field: label for field, label, _, _ in _FIELDS}


class Mistake(Exception):
    """A field that makes no sense; says which, and what to do."""

    def __init__(self, field: str, advice: str) -> None:
        super().__init__(f"“{_LABELS[field]}”: {advice}")
        self.field = field


class ReceiverForm(QWidget):
    """One receiver, to be read and changed."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("list")
        self._given = {"token_header": "authorization"}  # what has no field stays as it was
        self.form = QFormLayout(self)
        self.form.setContentsMargins(12, 4, 12, 4)
        self.form.setHorizontalSpacing(12)
        self.form.setVerticalSpacing(8)
        self.form.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.fields: dict[str, QWidget] = {}
        for field, label, _, _ in _FIELDS:
            widget = self._made(field)
            widget.setAccessibleName(label)
            self.fields[field] = widget
            self.form.addRow(label, widget)
        self.kind.currentIndexChanged.connect(self._of_kind)
        self.offer(())
        self._of_kind()

    def _made(self, field: str) -> QWidget:
        if field in ("kind", "profile"):
            combo = QComboBox()
            for kind, words in _SPEAKS.items() if field == "kind" else ():
                combo.addItem(words, kind)
            return combo
        if field == "tls":
            return QCheckBox("Encrypted (TLS)")
        if field == "timeout_s":
            seconds = QDoubleSpinBox()
            seconds.setRange(1, 3600)
            seconds.setDecimals(0)
            seconds.setSuffix(" s")
            seconds.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            return seconds
        if field in ("port", "commit_port"):
            port = QSpinBox()
            port.setRange(0 if field == "commit_port" else 1, 65535)
            port.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
            if field == "commit_port":
                port.setSpecialValueText("none: it is not asked for any")
                port.setToolTip("The port of this machine at which it tells what it will keep (storage commitment)")
            return port
        line = QLineEdit()
        if field == "url":
            line.setPlaceholderText("https://pacs.hospital/dicom-web")
        if field == "host":
            line.setPlaceholderText("pacs.hospital")
        if field in _FILES:
            choose = QAction(style.icon("folder", style.QUIET), "Choose a file", line)
            choose.triggered.connect(lambda: self._choose(line))
            line.addAction(choose, QLineEdit.ActionPosition.TrailingPosition)
        return line

    def _choose(self, line: QLineEdit) -> None:
        dialog = QFileDialog(self, "Choose a file", line.text())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(line.setText)
        dialog.open()

    @property
    def kind(self) -> QComboBox:
        """How it is spoken to."""
        combo = self.fields["kind"]
        assert isinstance(combo, QComboBox)
        return combo

    @property
    def profile(self) -> QComboBox:
        """What it opens."""
        combo = self.fields["profile"]
        assert isinstance(combo, QComboBox)
        return combo

    def _of_kind(self) -> None:
        for field, _, kinds, _ in _FIELDS:
            self.form.setRowVisible(self.fields[field], self.kind.currentData() in kinds)

    def offer(self, profiles: Sequence[str]) -> None:
        """Offer these profiles; the one that is chosen stays, even where there is none of that name any more."""
        chosen = self.profile.currentData() or ""
        self.profile.clear()
        self.profile.addItem(_NO_PROFILE, "")
        for name in profiles:
            self.profile.addItem(name, name)
        self._choose_profile(chosen)

    def _choose_profile(self, name: str) -> None:
        if self.profile.findData(name) < 0:
            self.profile.addItem(f"{name} (there is none)", name)
        self.profile.setCurrentIndex(self.profile.findData(name))

    def show_node(self, facts: dict[str, Any]) -> None:
        """Show a receiver: its fields by name; those that are left out are as they are by default."""
        self._given = {"token_header": facts.get("token_header", "authorization")}
        for field, _, _, _ in _FIELDS:
            value, widget = facts.get(field, getattr(Node, field, "")), self.fields[field]
            if isinstance(widget, QLineEdit):
                widget.setText(value)
            elif isinstance(widget, QCheckBox):
                widget.setChecked(value)
            elif isinstance(widget, QSpinBox | QDoubleSpinBox):
                widget.setValue(value)
            elif field == "kind":
                self.kind.setCurrentIndex(self.kind.findData(value))
            else:
                self._choose_profile(value)

    def node(self) -> Node:
        """What the fields say. Mistake where that makes no sense."""
        facts: dict[str, Any] = dict(self._given)
        for field, _, kinds, _ in _FIELDS:
            widget = self.fields[field]
            if self.kind.currentData() not in kinds:
                continue
            if isinstance(widget, QLineEdit):
                facts[field] = widget.text().strip()
            elif isinstance(widget, QCheckBox):
                facts[field] = widget.isChecked()
            elif isinstance(widget, QSpinBox | QDoubleSpinBox):
                facts[field] = widget.value()
            elif isinstance(widget, QComboBox):
                facts[field] = widget.currentData()
        try:
            node = Node(**facts)
        except NodeError as error:
            advice = {field: words for field, _, _, words in _FIELDS}
            raise Mistake(error.field, advice[error.field]) from error
        for field in _FILES:
            path = getattr(node, field)
            if path and not Path(path).expanduser().is_file():
                raise Mistake(field, f"There is no file {path}. Choose one that is there.")
        return node

    def go_to(self, field: str) -> None:
        """Put the cursor into a field."""
        widget = self.fields[field]
        widget.setFocus()
        if isinstance(widget, QLineEdit):
            widget.selectAll()
