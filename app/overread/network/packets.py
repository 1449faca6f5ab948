"""What waits in the outbox: packets of objects for one receiver, and what the receiver said of each object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydicom.uid import UID


class State(StrEnum):
    """Where a packet is. SENT is the end where the receiver commits to nothing, else COMMITTED."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    COMMITTED = "committed"
    FAILED = "failed"


class Fate(StrEnum):
    """What became of one object: not there yet, there, kept there for good, or never to be."""

    WAITING = "waiting"
    STORED = "stored"
    COMMITTED = "committed"
    REFUSED = "refused"


class NotNow(Exception):
    """The receiver cannot be reached or takes nothing at present; a sentence says why. It is tried again."""


class Never(Exception):
    """Trying again as things stand would change nothing; a sentence says why."""


@dataclass(frozen=True)
class Item:
    """One object of a packet: a file in the packet's folder, and what became of it. `reason` speaks of its fate."""

    file: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    sha256: str
    fate: Fate = Fate.WAITING
    reason: str = ""

    @property
    def kind(self) -> str:
        """What it is, in the standard's words: "Segmentation Storage"."""
        return UID(self.sop_class_uid).name


@dataclass(frozen=True)
class Answer:
    """What a receiver said of one object. WAITING means: not now, but later perhaps."""

    fate: Fate
    reason: str = ""


@dataclass(frozen=True)
class Packet:
    """Objects that go to one receiver together. Times are seconds since the epoch.

    `next_at` is when something is to be done for it again, None where nothing is; `transaction` is the request for
    storage commitment that is open, "" where there is none.
    """

    id: str
    node: str
    created: float
    state: State
    attempts: int
    next_at: float | None
    reason: str
    transaction: str
    items: tuple[Item, ...]

    @property
    def open(self) -> bool:
        """Whether something is still to be done for it."""
        return self.next_at is not None

    @property
    def kinds(self) -> str:
        """What it holds, in a few words without any name: "2 × Segmentation Storage"."""
        names = [item.kind.removesuffix(" Storage") for item in self.items]
        counted = {name: names.count(name) for name in names}
        return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in counted.items())
