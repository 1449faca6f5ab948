"""What the reader likes: a name, keys, the server of the house, receivers. Each change holds at once, or says when."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from overread.domain.errors import UserError
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain
from overread.infer.backends.judge import Verdict
from overread.infer.backends.remote import POLICIES, Remote
from overread.session.sending import Sending
from overread.session.session import Session
from overread.ui import style
from overread.ui.export_kinds import Registry, registry
from overread.ui.keys_page import KeysPage
from overread.ui.profiles_page import ProfilesPage
from overread.ui.receivers_page import ReceiversPage

_MEANS = {
    "local": "Models run on this machine alone",
    "hybrid": "The server first, this machine where it is slow or gone",
    "remote": "The server, or nothing",
}


class SettingsWindow(QDialog):
    """Pages side by side. Nothing waits for a button but what leaves the machine."""

    def __init__(self, session: Session, sending: Sending, parent: QWidget, page: str = "") -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self.setModal(False)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 620)
        column = QVBoxLayout(self)
        self.tabs = QTabWidget()
        self.to_receivers, self.of_profiles = ReceiversPage(session, sending), ProfilesPage(session)
        self.of_profiles.changed.connect(lambda: self.to_receivers.offer(self.of_profiles.names))
        self.pages = {
            "Reader": ReaderPage(session),
            "Keys": KeysPage(session),
            "Server": ServerPage(session),
            "Receivers": self.to_receivers,
            "Profiles": self.of_profiles,
        }
        for name, widget in self.pages.items():
            self.tabs.addTab(widget, name)
        if page:
            self.tabs.setCurrentWidget(self.pages[page])
        column.addWidget(self.tabs)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        column.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        session.jobs.call("Looking up what can be exported", registry, self._offer, quiet=True)

    def _offer(self, found: Registry) -> None:
        if isValid(self):
            products, profiles_of = found
            self.of_profiles.offer(products, profiles_of({}))
            self.to_receivers.offer(self.of_profiles.names)


class ReaderPage(QWidget):
    """In whose name everything is done."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        form = _form(self)
        self.name = QLineEdit(session.settings.reader)
        self.name.editingFinished.connect(
            lambda: session.change_settings(replace(session.settings, reader=self.name.text().strip()))
        )
        form.addRow("Reader's name", self.name)
        form.addRow("", _quiet("It goes into the journal of every study, and into what is exported."))


class ServerPage(QWidget):
    """The inference server of the house: where, when it is asked, and whether it answers."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        remote = session.settings.remote
        form = _form(self)
        self.policy = QComboBox()
        for policy in POLICIES:
            self.policy.addItem(_MEANS[policy], policy)
        self.policy.setCurrentIndex(POLICIES.index(remote.policy))
        form.addRow("Where models run", self.policy)
        self.fields = {
            name: QLineEdit(getattr(remote, name)) for name in ("url", "token_file", "token_env", "ca", "cert", "key")
        }
        self.fields["url"].setPlaceholderText("grpcs://server.hospital:8001")
        self.deadline = QDoubleSpinBox()
        self.deadline.setRange(1, 600_000)
        self.deadline.setDecimals(0)
        self.deadline.setSuffix(" ms")
        self.deadline.setValue(remote.deadline_ms)
        form.addRow("Server", self.fields["url"])
        form.addRow("Longest wait for a slice", self.deadline)
        form.addRow("File with the token", self.fields["token_file"])
        form.addRow("… or variable with it", self.fields["token_env"])
        form.addRow("Whom to trust (PEM)", self.fields["ca"])
        form.addRow("Our certificate (PEM)", self.fields["cert"])
        form.addRow("… and its key (PEM)", self.fields["key"])
        form.addRow("", _quiet("What leaves is a slice's grey values and the model's name, never a header."))
        row = QHBoxLayout()
        self.test, self.keep = QPushButton("Test the connection"), QPushButton("Keep")
        self.keep.setObjectName("primary")
        self.test.clicked.connect(self._test)
        self.keep.clicked.connect(self._keep)
        row.addWidget(self.test)
        row.addWidget(self.keep)
        row.addStretch(1)
        form.addRow("", row)
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        form.addRow("", self.told)

    def remote(self) -> Remote | None:
        """What the fields say; None, with the reason told, where that makes no sense."""
        words = {name: field.text().strip() for name, field in self.fields.items()}
        try:
            return replace(
                self.session.settings.remote,
                policy=str(self.policy.currentData()),
                deadline_ms=self.deadline.value(),
                **words,
            )
        except ValueError as error:
            self._say(f"This cannot be: {error}.", style.DANGER)
            return None

    def _keep(self) -> None:
        remote = self.remote()
        if remote is not None:
            self.session.change_settings(replace(self.session.settings, remote=remote))
            self._say("Kept. It holds when the program starts next.", style.ACCEPTED)

    def _test(self) -> None:
        remote = self.remote()
        if remote is None:
            return
        if not remote.url:
            self._say("Name the server first.", style.DANGER)
            return
        chain = FarChain(remote, Chain())
        specs = [detector.spec for detector in self.session.detectors]
        self.test.setEnabled(False)
        self._say("Asking …", style.QUIET)

        def failed(error: BaseException) -> None:
            self.test.setEnabled(True)
            if isinstance(error, UserError):
                self._say(str(error), style.DANGER)
            else:
                self._say("The server could not be asked.", style.DANGER)
                self.session.fail(error)

        self.session.jobs.call(
            f"Asking {remote.host}",
            lambda job: [(spec.name, chain.far(spec).look()) for spec in specs],
            self._answered,
            failed,
        )

    def _answered(self, verdicts: list[tuple[str, Verdict]]) -> None:
        self.test.setEnabled(True)
        lines = [
            f"{name}: {_speed(verdict)}" if verdict.passed else f"{name}: not served – {verdict.why}"
            for name, verdict in verdicts
        ]
        served = sum(verdict.passed for _, verdict in verdicts)
        self._say("\n".join(lines) or "There are no models.", style.ACCEPTED if served else style.DANGER)

    def _say(self, text: str, colour: str) -> None:
        self.told.setText(text)
        self.told.setStyleSheet(f"color: {colour};")


def _speed(verdict: Verdict) -> str:
    took = "" if verdict.milliseconds is None else f", {verdict.milliseconds:.1f} ms a slice there and back"
    return f"reproduces its self-test there{took}"


def _form(page: QWidget) -> QFormLayout:
    form = QFormLayout(page)
    form.setContentsMargins(20, 20, 20, 20)
    form.setHorizontalSpacing(16)
    form.setVerticalSpacing(10)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return form


def _quiet(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("quiet", True)
    label.setWordWrap(True)
    return label
