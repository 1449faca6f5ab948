"""Sending in the background: the outbox of this reader, tried whenever something is due, while the window is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from overread import paths
from overread.network.nodes import Node
from overread.network.outbox import Outbox
from overread.network.packets import Packet, State
from overread.session.jobs import Job, Jobs

if TYPE_CHECKING:
    from overread.network.sender import Sender

# Seconds between two looks at what other processes did to the outbox, and after the disk has failed.
_LOOK_S, _TROUBLE_S = 2.0, 60.0


def outbox() -> Outbox:
    """The outbox of this reader on this machine."""
    return Outbox(paths.data() / "outbox")


@dataclass(frozen=True)
class Status:
    """What the foot of the window says: packets that wait, that failed, whom the next one goes to, and when."""

    waiting: int = 0
    failed: int = 0
    node: str = ""
    next_s: float | None = None
    sending: bool = False

    @property
    def text(self) -> str:
        """It in a few words, "" where there is nothing to say."""
        parts = []
        if self.sending:
            parts.append(f"sending to {self.node}")
        elif self.waiting:
            parts.append(f"{self.waiting} wait{'s' if self.waiting == 1 else ''} for {self.node}")
            if self.next_s:
                parts.append(f"next try in {spoken(self.next_s)}")
        if self.failed:
            parts.append(f"{self.failed} could not be sent")
        return " · ".join(parts)


def spoken(seconds: float) -> str:
    """A time to wait in words: "30 s", "12 min"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class Sending:
    """The outbox as the window sees it. Everything here runs on the main thread; the work runs as jobs.

    `tick` is to be called a few times a second: no thread waits for the next attempt.
    """

    changed = Signal()

    def __init__(self, jobs: Jobs, nodes: Callable[[], tuple[Node, ...]], box: Outbox) -> None:
        self._jobs, self._nodes, self.box = jobs, nodes, box
        self._sender: Sender | None = None
        self._job: Job | None = None
        self._look_at = 0.0
        self.packets: tuple[Packet, ...] = ()

    @property
    def status(self) -> Status:
        """How things stand."""
        waiting = [p for p in self.packets if p.open and p.state in (State.WAITING, State.SENDING)]
        failed = sum(packet.state is State.FAILED for packet in self.packets)
        if not waiting:
            return Status(failed=failed)
        first = min(waiting, key=lambda packet: packet.next_at or 0.0)
        busy = self._job is not None and not self._job.quiet
        return Status(len(waiting), failed, first.node, max((first.next_at or 0.0) - self.box.now(), 0.0), busy)

    def tick(self) -> None:
        """Send what is due, or see what has changed; one job at a time."""
        now = self.box.now()
        if (self._job is not None and self._job.running) or now < self._look_at or not self.box.exists:
            return
        self._look_at = now + _LOOK_S
        due = [packet for packet in self.packets if packet.next_at is not None and packet.next_at <= now]
        if not due:
            self._run("Looking into the outbox", self._look, quiet=True)
        elif any(packet.state is not State.SENT for packet in due):
            self._run(f"Sending to {due[0].node}", self._send)
        else:
            self._run("Asking for commitment", self._send, quiet=True)

    def queue(self, node: Node, files: Sequence[Path], done: Callable[[Packet], None]) -> None:
        """Put copies of files into the outbox and send them; `done` gets the packet, the jobs' `failed` errors."""

        def arrived(packet: Packet) -> None:
            self._look_now()
            done(packet)

        files = tuple(files)
        self._jobs.call("Putting it into the outbox", lambda job: self.box.add(node.name, files), arrived)

    def retry(self, packet_id: str) -> None:
        """Try a packet again at once."""
        self._jobs.call("Trying again", lambda job: self.box.retry(packet_id), lambda _: self._look_now(), quiet=True)

    def remove(self, packet_id: str) -> None:
        """Take a packet out."""
        self._jobs.call("Taking it out", lambda job: self.box.remove(packet_id), lambda _: self._look_now(), quiet=True)

    def close(self) -> None:
        """Send no more; to be called when the jobs are at their end. What is left goes on with the next start."""
        if self._sender is not None:
            self._sender.close()

    def _look(self, job: Job) -> tuple[Packet, ...]:
        if self._sender is not None:
            self._sender.listen()
        return self.box.packets()

    def _send(self, job: Job) -> tuple[Packet, ...]:
        from overread.network.sender import Sender  # slow to import, and most sittings send nothing

        if self._sender is None:
            self._sender = Sender(self.box, self._nodes)
        while not job.cancel.cancelled and self._sender.step(job.cancel):
            pass
        return self.box.packets()

    def _run(self, label: str, work: Callable[[Job], tuple[Packet, ...]], *, quiet: bool = False) -> None:
        self._job = self._jobs.call(label, work, self._done, self._failed, quiet=quiet)
        self.changed.emit()

    def _done(self, packets: tuple[Packet, ...]) -> None:
        self._job = None
        before, self.packets = self.packets, packets
        if packets != before:
            self._look_at = 0.0
            self.changed.emit()

    def _failed(self, error: BaseException) -> None:
        self._job = None
        self._look_at = self.box.now() + _TROUBLE_S
        self._jobs.failed(error)

    def _look_now(self) -> None:
        self._look_at = 0.0
        self.tick()
