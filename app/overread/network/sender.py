"""One step of the outbox: the packet that is due goes to its receiver, and what became of it is written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.network import commitment, dicomweb, dimse
from overread.network.nodes import Node, node_named
from overread.network.outbox import Outbox, delay_s
from overread.network.packets import Answer, Fate, Item, Never, NotNow, Packet, State

# How long an association stays open for a report after commitment was asked for, and how long between two looks.
_PATIENCE_S, _LOOK_S = 2.0, 0.05
# Receivers may take minutes to commit: they are asked again after 80 s, then ever later; so many requests count.
_SLOWER, _REMEMBERED = 4, 8
_SERVICES = {"dimse": dimse.store, "dicomweb": dicomweb.store}


def echo(node: Node) -> None:
    """Ask whether a node is there and takes us. UserError where not."""
    try:
        {"dimse": dimse.echo, "dicomweb": dicomweb.echo}[node.kind](node)
    except (NotNow, Never) as error:
        raise UserError(f"{node.name}: {error}") from error


class Sender:
    """Sends what is due, and hears what receivers commit to. `step` is for one thread at a time.

    While a request for commitment is open, it listens at the port that the node's settings name.
    """

    def __init__(self, outbox: Outbox, nodes: Callable[[], tuple[Node, ...]]) -> None:
        self._outbox, self._nodes = outbox, nodes
        self._listeners: dict[tuple[int, str], commitment.Listener] = {}

    def step(self, cancel: Cancel) -> bool:
        """Do what is due for one packet; False where nothing is, or another process sends. UserError from the disk."""
        with self._outbox.sender() as mine:
            packet = self._outbox.due() if mine else None
            if packet is None:
                self.listen()
                return False
            try:
                node = node_named(self._nodes(), packet.node)
            except UserError as error:
                self._outbox.settle(packet, State.FAILED, reason=str(error))
                return True
            if packet.state is State.SENT:
                self._ask(packet, node, cancel)
            else:
                self._send(packet, node, cancel)
        return True

    def close(self) -> None:
        """Hear no more."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    # Sending

    def _send(self, packet: Packet, node: Node, cancel: Cancel) -> None:
        box, attempts = self._outbox, packet.attempts + 1
        # Should the process die on the way, the next one goes on then.
        box.settle(packet, State.SENDING, next_at=box.now() + delay_s(attempts), attempts=attempts)
        later = ""
        try:
            for item, answer in self._answers(packet, node, cancel):
                later = later or (answer.reason if answer.fate is Fate.WAITING else "")
                if not box.record(packet, item, answer.fate, answer.reason):
                    return  # it was taken out meanwhile
        except NotNow as error:
            later = str(error)
        except Never as error:
            box.settle(packet, State.FAILED, reason=str(error), attempts=attempts)
            return
        if later and cancel.cancelled:
            later, attempts = "It was called off.", packet.attempts
        if later:
            next_at = box.now() + delay_s(attempts)
            box.settle(packet, State.WAITING, reason=later, next_at=next_at, attempts=attempts)
        else:
            self._arrived(packet, node)

    def _answers(self, packet: Packet, node: Node, cancel: Cancel) -> Iterator[tuple[Item, Answer]]:
        """What becomes of each object that is not there yet; one whose copy is no longer the same never leaves."""
        sound = []
        for item in packet.items:
            if item.fate is not Fate.WAITING:
                continue
            if self._outbox.bytes_of(packet, item) is None:
                yield item, Answer(Fate.REFUSED, "Its copy in the outbox was lost or changed.")
            else:
                sound.append(item)

        def load(item: Item) -> Dataset:
            raw = self._outbox.bytes_of(packet, item)
            if raw is None:
                raise NotNow("A copy in the outbox was lost or changed.")  # the next attempt names it
            return dcmread(BytesIO(raw))

        if sound:
            yield from _SERVICES[node.kind](node, sound, load, cancel)

    def _arrived(self, packet: Packet, node: Node) -> None:
        """All objects have their answer: tell what was refused, or ask for commitment where the node offers it."""
        packet = self._outbox.packet(packet.id)
        remarks = _remarks(packet, Fate.REFUSED)
        if remarks:
            self._outbox.settle(packet, State.FAILED, reason=remarks)
        elif node.commit_port:
            self._outbox.settle(packet, State.SENT, next_at=self._outbox.now())
        else:
            self._outbox.settle(packet, State.SENT, reason=_remarks(packet, Fate.STORED))

    # Storage commitment

    def _ask(self, packet: Packet, node: Node, cancel: Cancel) -> None:
        box, attempts, transaction = self._outbox, packet.attempts + 1, str(generate_uid(None))
        asked = " ".join([*packet.transaction.split()[1 - _REMEMBERED :], transaction])
        next_at = box.now() + delay_s(attempts + _SLOWER)
        told = self.listen()
        box.settle(packet, State.SENT, reason=told, next_at=next_at, attempts=attempts, transaction=asked)

        def wait() -> None:
            end = time.monotonic() + _PATIENCE_S
            while time.monotonic() < end and not cancel.cancelled and transaction in _open(box):
                time.sleep(_LOOK_S)

        try:
            commitment.ask(node, packet.items, transaction, self._heard, wait, cancel)
        except Never as error:
            box.settle(packet, State.SENT, reason=str(error))
        except NotNow as error:
            if transaction in _open(box):
                reason = str(error)
                box.settle(packet, State.SENT, reason=reason, next_at=next_at, attempts=attempts, transaction=asked)

    def listen(self) -> str:
        """Hear at the ports where reports may come, and at no others; what keeps us from it, "" where nothing does."""
        names = {packet.node for packet in self._outbox.packets() if packet.open and packet.state is State.SENT}
        wanted = {(n.commit_port, n.calling) for n in self._nodes() if n.name in names and n.commit_port}
        for place in self._listeners.keys() - wanted:
            self._listeners.pop(place).close()
        troubles = []
        for place in wanted - self._listeners.keys():
            try:
                self._listeners[place] = commitment.Listener(*place, self._heard)
            except NotNow as error:  # another process of ours may be the one who hears there
                troubles.append(str(error))
        return " ".join(troubles)

    def _heard(self, report: commitment.Report) -> None:
        """Write down what a receiver keeps. On a thread of the association's."""
        box = self._outbox
        packet = next((p for p in box.packets() if report.transaction in p.transaction.split() and p.open), None)
        if packet is None:
            return
        lost, kept = dict(report.failed), set(report.committed)
        for item in packet.items:
            if item.sop_instance_uid in lost:
                number = lost[item.sop_instance_uid]
                why = f"Not kept: {commitment.AGAIN.get(number, 'it gives no reason that is known')} (0x{number:04X})."
                box.record(packet, item, Fate.WAITING if number in commitment.AGAIN else Fate.REFUSED, why)
            elif item.sop_instance_uid in kept:
                box.record(packet, item, Fate.COMMITTED)
        packet = box.packet(packet.id)
        fates = {item.fate for item in packet.items}
        if Fate.REFUSED in fates:
            box.settle(packet, State.FAILED, reason=_remarks(packet, Fate.REFUSED))
        elif Fate.WAITING in fates:
            next_at = box.now() + delay_s(packet.attempts)
            reason = _remarks(packet, Fate.WAITING)
            box.settle(packet, State.WAITING, reason=reason, next_at=next_at, attempts=packet.attempts)
        elif fates == {Fate.COMMITTED}:
            box.settle(packet, State.COMMITTED)


def _open(outbox: Outbox) -> str:
    """The requests for commitment that nobody has answered yet."""
    return " ".join(packet.transaction for packet in outbox.packets() if packet.open and packet.state is State.SENT)


def _remarks(packet: Packet, fate: Fate) -> str:
    """What receivers said of the objects with that fate, once each."""
    said = (
        f"{item.kind.removesuffix(' Storage')}: {item.reason}"
        for item in packet.items
        if item.fate is fate and item.reason
    )
    return " ".join(dict.fromkeys(said))
