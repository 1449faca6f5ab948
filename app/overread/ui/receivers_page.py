"""The receivers: listed, added, changed, taken away; asked whether they answer, and sent something to try them."""

from __future__ import annotations

import html
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListWidget, QPushButton, QScrollArea, QVBoxLayout, QWidget
from shiboken6 import isValid

from overread import paths
from overread.domain.errors import UserError
from overread.network.nodes import Node
from overread.network.packets import Packet, State
from overread.session.jobs import Job
from overread.session.sending import Sending
from overread.session.session import Session
from overread.ui import style
from overread.ui.receiver_form import Mistake, ReceiverForm


class ReceiversPage(QWidget):
    """A list, and the fields of the one that is chosen. What is kept holds at once."""

    def __init__(self, session: Session, sending: Sending) -> None:
        super().__init__()
        self.session, self.sending = session, sending
        self._name = ""  # of the one in the fields, as it is kept; "" while it is new
        self._tried = ""  # the packet that was sent to try it
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 12, 12, 12)
        left = QVBoxLayout()
        self.list = QListWidget()
        self.list.setAccessibleName("Receivers")
        self.list.setFixedWidth(170)
        self.list.currentTextChanged.connect(self._chosen)
        left.addWidget(self.list, 1)
        self.add, self.remove = QPushButton("Add"), QPushButton("Remove")
        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(self._remove)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add)
        buttons.addWidget(self.remove)
        left.addLayout(buttons)
        row.addLayout(left)
        right = QVBoxLayout()
        self.form = ReceiverForm()
        scroll = QScrollArea()
        scroll.setWidget(self.form)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        right.addWidget(scroll, 1)
        self.ask, self.packet = QPushButton("Try it"), QPushButton("Send the test packet")
        self.packet.setToolTip("Synthetic images of nobody, with findings of every kind that it opens")
        self.keep = QPushButton("Keep")
        self.keep.setObjectName("primary")
        self.ask.clicked.connect(self._ask)
        self.packet.clicked.connect(self._send_packet)
        self.keep.clicked.connect(self._keep)
        buttons = QHBoxLayout()
        for button in (self.ask, self.packet, self.keep):
            buttons.addWidget(button)
        right.addLayout(buttons)
        for button in (self.add, self.remove, self.ask, self.packet, self.keep):
            button.setAutoDefault(False)  # Return in a field presses none of them
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.told.linkActivated.connect(lambda link: QDesktopServices.openUrl(QUrl(link)))
        self.told.setMinimumHeight(40)
        self.told.setAlignment(Qt.AlignmentFlag.AlignTop)
        right.addWidget(self.told)
        row.addLayout(right, 1)
        sending.changed.connect(self._sent)
        self._fill(session.settings.nodes[0].name if session.settings.nodes else "")

    def offer(self, profiles: Sequence[str]) -> None:
        """Offer these profiles."""
        self.form.offer(profiles)

    # The list

    def _fill(self, chosen: str) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([node.name for node in self.session.settings.nodes])
        self.list.blockSignals(False)
        found = self.list.findItems(chosen, Qt.MatchFlag.MatchExactly)
        if found:
            self.list.setCurrentItem(found[0])
        else:
            self._show(None)

    def _chosen(self, name: str) -> None:
        self._show(next((node for node in self.session.settings.nodes if node.name == name), None))

    def _show(self, node: Node | None) -> None:
        self._name, self._tried = "" if node is None else node.name, ""
        self.form.show_node({} if node is None else asdict(node))
        self.remove.setEnabled(node is not None)
        self.packet.setEnabled(node is not None)
        self._say("" if node or self.list.count() else "Name a receiver, and keep it.", style.QUIET)

    def _add(self) -> None:
        self.list.blockSignals(True)
        self.list.setCurrentRow(-1)
        self.list.blockSignals(False)
        self._show(None)
        self.form.go_to("name")

    def _waiting(self) -> bool:
        """Whether something waits for the one in the fields under the name that it has; says so."""
        waiting = sum(packet.node == self._name and packet.open for packet in self.sending.packets)
        if waiting:
            what = "1 packet waits" if waiting == 1 else f"{waiting} packets wait"
            self._say(f"{what} for {self._name} in the outbox still. Send or remove that first.", style.DANGER)
        return bool(waiting)

    def _remove(self) -> None:
        if self._waiting():
            return
        name, nodes = self._name, self.session.settings.nodes
        self._put(tuple(node for node in nodes if node.name != name), "", f"{name} is gone.")

    def _keep(self) -> None:
        node, nodes = self._node(), self.session.settings.nodes
        if node is None or (self._name not in ("", node.name) and self._waiting()):
            return
        others = tuple(other for other in nodes if other.name != self._name)
        if any(other.name == node.name for other in others):
            self._mistaken(Mistake("name", f"There is another {node.name} already."))
            return
        kept = tuple(node if other.name == self._name else other for other in nodes)
        self._put(kept if self._name else (*nodes, node), node.name, "Kept; it holds at once.")

    def _put(self, nodes: tuple[Node, ...], chosen: str, said: str) -> None:
        saved = self.session.change_settings(replace(self.session.settings, nodes=nodes))
        self._fill(chosen or (nodes[0].name if nodes else ""))
        if saved:
            self._say(said, style.ACCEPTED)
        else:
            self._say("It holds until the program ends: settings.toml could not be written.", style.DANGER)

    def _node(self) -> Node | None:
        """What the fields say; None, with the reason told, where that makes no sense."""
        try:
            return self.form.node()
        except Mistake as mistake:
            self._mistaken(mistake)
            return None

    def _mistaken(self, mistake: Mistake) -> None:
        self._say(str(mistake), style.DANGER)
        self.form.go_to(mistake.field)

    # Trying

    def _ask(self) -> None:
        node = self._node()
        if node is None:
            return
        self.ask.setEnabled(False)
        self._say(f"Asking {node.machine} …", style.QUIET)

        def work(job: Job) -> float:
            from overread.network.sender import echo  # slow to import, and most sittings send nothing

            begun = time.monotonic()
            echo(node)
            return time.monotonic() - begun

        def answered(seconds: float) -> None:
            if isValid(self):
                self.ask.setEnabled(True)
                self._say(f"{node.name} answers, in {seconds * 1000:.0f} ms.", style.ACCEPTED)

        self.session.jobs.call(f"Asking {node.name}", work, answered, self._failed)

    def _send_packet(self) -> None:
        node = self._node()
        if node is None:
            return
        if node not in self.session.settings.nodes:
            self._say("Keep it first: what waits in the outbox goes to what is kept.", style.DANGER)
            return
        folder, own = paths.data() / "test-packet", self.session.settings.profiles
        self.packet.setEnabled(False)
        self._say("Making the packet …", style.QUIET)

        def work(job: Job) -> list[Path]:
            from overread.dicom.demo import ensure_demo
            from overread.session.packet import make_packet, parts
            from overread.session.profiles import chosen, of_receiver

            wanted = chosen(own, of_receiver(own, node))
            shutil.rmtree(folder, ignore_errors=True)  # the one before
            return parts(folder, make_packet(ensure_demo(paths.data() / "demo"), folder, wanted))

        def made(files: list[Path]) -> None:
            self.sending.queue(node, files, queued)

        def queued(packet: Packet) -> None:
            if isValid(self):
                self.packet.setEnabled(True)
                self._tried = packet.id
                self._sent()

        self.session.jobs.call(f"Making a test packet for {node.name}", work, made, self._failed)

    def _sent(self) -> None:
        """Say how the packet stands."""
        if not isValid(self) or not self._tried:
            return
        packet = next((packet for packet in self.sending.packets if packet.id == self._tried), None)
        if packet is None:
            self._say("The test packet is in the outbox.", style.QUIET)
            return
        text = f"The test packet: {packet.state}. {packet.reason}".rstrip(". ") + "."
        good = packet.state in (State.SENT, State.COMMITTED)
        colour = style.DANGER if packet.state is State.FAILED else style.ACCEPTED if good else style.QUIET
        self._say(text, colour, paths.data() / "test-packet" / "WHAT-TO-SEE.txt" if good else None)

    def _failed(self, error: BaseException) -> None:
        if isValid(self):
            self.ask.setEnabled(True)
            self.packet.setEnabled(bool(self._name))
            self._say(str(error) if isinstance(error, UserError) else "That went wrong.", style.DANGER)
        if not isinstance(error, UserError):
            self.session.fail(error)

    def _say(self, text: str, colour: str, sheet: Path | None = None) -> None:
        text = html.escape(text)
        if sheet is not None:
            link = QUrl.fromLocalFile(str(sheet)).toString()
            text += f' <a style="color: {style.ACTIVE}" href="{link}">What should be seen of it</a>'
        self.told.setText(text)
        self.told.setStyleSheet(f"color: {colour};")
