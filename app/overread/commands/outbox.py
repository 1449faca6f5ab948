"""`overread outbox`: what waits for receivers; send it, try again, take it out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from overread.commands.answers import emit, say
from overread.commands.engine import liked
from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.network.nodes import Node
from overread.network.outbox import Outbox
from overread.network.packets import Packet, State
from overread.network.sender import Sender
from overread.session.sending import outbox, spoken

# Seconds between two looks at what a receiver may have reported meanwhile.
_LOOK_S = 0.2


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    words = ("list", "send", "retry", "remove")
    parser.add_argument("what", nargs="?", choices=words, default="list", help="send: try what is due now")
    parser.add_argument("packet", nargs="?", default="", help="retry, remove: the packet, or the first letters of it")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="S", help="send: go on until all has arrived, S seconds at most"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """List the outbox after what was asked for is done. Status 3 after `send` where something could not be sent."""
    box = outbox()
    if arguments.what in ("retry", "remove"):
        if not arguments.packet:
            raise argparse.ArgumentError(None, f"Which packet? overread outbox {arguments.what} PACKET")
        (box.retry if arguments.what == "retry" else box.remove)(arguments.packet)
    if arguments.what in ("send", "retry"):
        send(box, liked().nodes, arguments.wait)
    packets = box.packets()
    if arguments.json:
        emit({"packets": [packet_answer(packet) for packet in packets]})
    elif not packets:
        say("The outbox is empty.")
    else:
        say(*(packet_line(packet, box.now()) for packet in packets))
    failed = any(packet.state is State.FAILED for packet in packets)
    return 3 if failed and arguments.what in ("send", "retry") else 0


def queue(box: Outbox, node: Node, files: Sequence[Path]) -> Packet:
    """Put files in and try to send them once; how the packet stands then."""
    if not files:
        raise UserError(f"None of the files is a DICOM object, so nothing goes to {node.name}.")
    packet = box.add(node.name, files)
    send(box, liked().nodes, 0.0)
    return box.packet(packet.id)


def send(box: Outbox, nodes: tuple[Node, ...], wait_s: float) -> None:
    """Do what is due; with time to wait, until nothing is left that may come."""
    sender, end = Sender(box, lambda: nodes), time.monotonic() + wait_s
    try:
        while True:
            if sender.step(Cancel()):
                continue
            if time.monotonic() >= end or not any(packet.open for packet in box.packets()):
                return
            time.sleep(_LOOK_S)
    finally:
        sender.close()


def packet_answer(packet: Packet) -> dict[str, Any]:
    """A packet as machine-readable answers give it."""
    return {
        "id": packet.id,
        "node": packet.node,
        "created": _when(packet.created),
        "state": packet.state.value,
        "attempts": packet.attempts,
        "next_at": None if packet.next_at is None else _when(packet.next_at),
        "reason": packet.reason,
        "objects": [
            {
                "kind": item.kind,
                "sop_instance_uid": item.sop_instance_uid,
                "fate": item.fate.value,
                "reason": item.reason,
            }
            for item in packet.items
        ],
    }


def packet_line(packet: Packet, now: float) -> str:
    """The same for people."""
    text = f"{packet.id[:8]} {packet.node}: {packet.kinds}: {packet.state}"
    if packet.state is State.SENT and packet.open:
        text += ", commitment not yet promised"
    elif packet.next_at is not None and packet.next_at > now:
        text += f", next try in {spoken(packet.next_at - now)}"
    return f"{text}. {packet.reason}".rstrip(". ") + "."


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
