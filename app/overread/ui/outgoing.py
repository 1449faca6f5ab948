"""What goes to receivers: the send row under the export, a few words at the foot of the window, and the list."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from overread.network.nodes import Node
from overread.network.packets import Packet, State
from overread.session.sending import Sending, outbox, spoken
from overread.session.session import Session
from overread.ui import style
from overread.ui.export_panel import ExportPanel
from overread.ui.status_bar import StatusBar

_TICK_MS = 500
# So many letters of a receiver's name have room on a button.
_LONGEST = 24
_COLOURS = {State.FAILED: style.DANGER, State.SENT: style.ACCEPTED, State.COMMITTED: style.ACCEPTED}


class Outgoing(QObject):
    """Wires the sending into the window."""

    def __init__(self, session: Session, bar: StatusBar, export: ExportPanel, window: QWidget) -> None:
        super().__init__(window)
        self.sending = Sending(session.jobs, lambda: session.settings.nodes, outbox())
        self.row = SendRow(session, self.sending, export)
        self.note = QToolButton(bar)
        self.note.setFont(style.font(12))
        self.note.setToolTip("What waits for receivers")
        self.note.setAccessibleName("What waits for receivers")
        self.note.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.note.clicked.connect(self.show)
        self.note.hide()
        bar.row.insertWidget(bar.row.indexOf(bar.saved), self.note)
        self.list = OutboxWindow(self.sending, window)
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def show(self) -> None:
        """Show the list."""
        self.list.refresh()
        self.list.show()
        self.list.raise_()

    def close(self) -> None:
        """Send no more; to be called when the jobs are at their end."""
        self._timer.stop()
        self.sending.close()

    def _tick(self) -> None:
        self.sending.tick()
        status = self.sending.status
        self.note.setText(status.text)
        self.note.setStyleSheet(f"color: {style.DANGER if status.failed else style.QUIET};")
        self.note.setVisible(bool(status.text))
        if self.list.isVisible():
            self.list.refresh()


class SendRow(QWidget):
    """Sends what was exported last to the receiver that is chosen; not there without one."""

    def __init__(self, session: Session, sending: Sending, export: ExportPanel) -> None:
        super().__init__(export)
        self.session, self.sending, self.export = session, sending, export
        self._written: tuple[Any, ...] = ()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.go = QPushButton("Send…")
        self.go.clicked.connect(self.ask)
        row.addWidget(self.go)
        self.told = QLabel()
        self.told.setFont(style.font(12))
        self.told.setWordWrap(True)
        layout = export.layout()
        assert layout is not None
        layout.addWidget(self)
        layout.addWidget(self.told)
        self.hide()
        self.told.hide()
        export.exported.connect(self._exported)
        export.shown.connect(lambda shown: self._exported(()))
        export.receiver_changed.connect(self._show)

    def _exported(self, written: Sequence[Any]) -> None:
        self._written = tuple(item for item in written if item.sop_instance_uid)
        self.told.hide()
        self._show()

    def _show(self) -> None:
        node = self.export.node
        self.setVisible(bool(self._written) and node is not None)
        if node is not None:
            self.go.setText(f"Send to {node.name if len(node.name) <= _LONGEST else f'{node.name[:_LONGEST]}…'}…")

    def ask(self) -> None:
        """The one question that stops the reader: what has been sent cannot be called back."""
        node = self.export.node
        if node is None:
            return
        patients = sorted({item.identity.patient_name or item.identity.patient_id for item in self._written})
        count = len(self._written)
        box = QMessageBox(self.window())
        box.setObjectName("send")
        box.setWindowTitle("Send")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(f"Send {count} object{'' if count == 1 else 's'} of {', '.join(patients)} to {node.whither}?")
        box.setInformativeText("What has been sent cannot be called back.")
        send = box.addButton("Send", QMessageBox.ButtonRole.AcceptRole)
        cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(cancel)
        box.setEscapeButton(cancel)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        send.clicked.connect(lambda: self._send(node))
        box.open()

    def _send(self, node: Node) -> None:
        written, self._written = self._written, ()
        self.hide()

        def done(packet: Packet) -> None:
            for identity in {item.identity.study_uid: item.identity for item in written}.values():
                self.session.note("send", f"{packet.kinds} to {node.name}", identity)
            self.told.setText(f"In the outbox for {node.name}. The foot of the window says when it has arrived.")
            self.told.setStyleSheet(f"color: {style.ACCEPTED};")
            self.told.show()

        self.sending.queue(node, [item.path for item in written], done)


class OutboxWindow(QDialog):
    """The packets, the newest first, each with what can be done for it."""

    def __init__(self, sending: Sending, parent: QWidget) -> None:
        super().__init__(parent)
        self.sending = sending
        self.setWindowTitle("What waits for receivers")
        self.setModal(False)
        self.resize(640, 420)
        column = QVBoxLayout(self)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        self.inner = QWidget()
        self.inner.setObjectName("panel")
        self.rows = QVBoxLayout(self.inner)
        scroll.setWidget(self.inner)
        column.addWidget(scroll)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        column.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        self._shown: list[tuple[str, State]] | None = None
        self._said: dict[str, QLabel] = {}

    def refresh(self) -> None:
        """Show how things stand. Buttons stay where they are while seconds are counted: a hand may be on them."""
        packets = self.sending.packets[::-1]
        wanted = [(packet.id, packet.state) for packet in packets]
        if wanted == self._shown:
            for packet in packets:
                self._said[packet.id].setText(self._text(packet))
            return
        self._shown = wanted
        self._said.clear()
        while (item := self.rows.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for packet in packets:
            self.rows.addWidget(self._entry(packet))
        if not packets:
            self.rows.addWidget(QLabel("Nothing was sent in the last month, and nothing waits."))
        self.rows.addStretch(1)

    def _text(self, packet: Packet) -> str:
        text = str(packet.state)
        if packet.state is State.SENT and packet.open:
            text += ", not yet promised to be kept"
        elif packet.next_at is not None and packet.next_at > self.sending.box.now():
            text += f", next try in {spoken(packet.next_at - self.sending.box.now())}"
        return f"{text}. {packet.reason}".rstrip(". ") + "."

    def _entry(self, packet: Packet) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        texts = QVBoxLayout()
        head = QLabel(f"{html.escape(packet.kinds)} → {html.escape(packet.node)}")
        head.setFont(style.font(13, bold=True))
        texts.addWidget(head)
        said = QLabel(self._text(packet))
        said.setTextFormat(Qt.TextFormat.PlainText)
        said.setWordWrap(True)
        said.setStyleSheet(f"color: {_COLOURS.get(packet.state, style.QUIET)};")
        texts.addWidget(said)
        self._said[packet.id] = said
        row.addLayout(texts, 1)
        if packet.open or packet.state is State.FAILED:
            again = QPushButton("Try now")
            again.clicked.connect(lambda: self.sending.retry(packet.id))
            row.addWidget(again)
        away = QPushButton("Remove")
        away.setToolTip("Forget it here; what the receiver has stays there")
        away.clicked.connect(lambda: self.sending.remove(packet.id))
        row.addWidget(away)
        return box
