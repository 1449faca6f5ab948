"""A real Orthanc: stopped, started, killed; and our own process killed while it sends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from pydicom import dcmread

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.network.nodes import Node
from overread.network.outbox import Outbox
from overread.network.packets import Fate, Item, Packet, State
from overread.network.sender import Sender, echo
from support.orthanc import Orthanc
from support.series import head_like, write_series
from support.servers import free_port

APP = Path(__file__).resolve().parents[2] / "app"
SERVICES = ["dimse", "dicomweb"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("series"), head_like((24, 64, 64)))


@pytest.fixture(scope="module")
def uids(files: list[Path]) -> list[str]:
    return sorted(str(dcmread(path).SOPInstanceUID) for path in files)


def node_of(pacs: Orthanc, service: str) -> Node:
    return pacs.node("PACS", commit=True) if service == "dimse" else pacs.web("PACS")


class Clock:
    """Time that runs as fast as the test likes."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def settled(box: Outbox, clock: Clock, node: Node, packet: Packet) -> Packet:
    """Send until nothing is left to be done, whatever it takes."""
    sender = Sender(box, lambda: (node,))
    try:
        end = time.monotonic() + 60
        while box.packet(packet.id).open:
            assert time.monotonic() < end, box.packet(packet.id)
            if not sender.step(Cancel()):
                clock.ahead += 5.0
    finally:
        sender.close()
    return box.packet(packet.id)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_sent_comes_back_the_same(pacs: Orthanc, files: list[Path], tmp_path: Path, service: str) -> None:
    clock = Clock()
    box = Outbox(tmp_path / "outbox", clock)
    node = node_of(pacs, service)
    echo(node)
    packet = settled(box, clock, node, box.add("PACS", files))
    assert packet.state is (State.COMMITTED if service == "dimse" else State.SENT)
    for path in files:
        sent = dcmread(path)
        assert pacs.fetch(str(sent.SOPInstanceUID)) == sent
    again = settled(box, clock, node, box.add("PACS", files))
    assert again.state is packet.state
    assert len(pacs.instances()) == len(files)


@pytest.mark.parametrize("service", SERVICES)
def test_stopped_and_started_in_the_middle(
    own_pacs: Orthanc, files: list[Path], uids: list[str], tmp_path: Path, service: str
) -> None:
    clock = Clock()
    box = Outbox(tmp_path / "outbox", clock)
    node = node_of(own_pacs, service)
    packet = box.add("PACS", files)
    sender = Sender(box, lambda: (node,))
    own_pacs.stop()
    assert sender.step(Cancel())
    assert box.packet(packet.id).state is State.WAITING
    assert "Nobody answers" in box.packet(packet.id).reason
    sender.close()
    own_pacs.start()
    clock.ahead += 5.0
    settled(box, clock, node, packet)
    assert sorted(own_pacs.instances()) == uids


class Watched(Outbox):
    """An outbox that does something after so many objects have been taken."""

    def watch(self, after: int, pacs: Orthanc) -> None:
        self.left, self.pacs = after, pacs

    def record(self, packet: Packet, item: Item, fate: Fate, reason: str = "") -> bool:
        self.left -= fate is Fate.STORED
        if self.left == 0:
            self.pacs.stop(signal.SIGKILL)
        return super().record(packet, item, fate, reason)


@pytest.mark.parametrize("service", SERVICES)
def test_the_receiver_is_killed_while_a_packet_goes(
    own_pacs: Orthanc, files: list[Path], uids: list[str], tmp_path: Path, service: str
) -> None:
    clock = Clock()
    box = Watched(tmp_path / "outbox", clock)
    box.watch(7, own_pacs)
    node = node_of(own_pacs, service)
    packet = box.add("PACS", files)
    assert Sender(box, lambda: (node,)).step(Cancel())
    cut = box.packet(packet.id)
    assert cut.state is State.WAITING
    assert [item.fate for item in cut.items].count(Fate.STORED) == 7
    own_pacs.start()
    settled(box, clock, node, packet)
    assert sorted(own_pacs.instances()) == uids


SENDING = """
import json, sys
from pathlib import Path
from overread.domain.ports import Cancel
from overread.network.nodes import Node
from overread.network.outbox import Outbox
from overread.network.sender import Sender
node, box = Node(**json.loads(sys.argv[2])), Outbox(Path(sys.argv[1]))
while Sender(box, lambda: (node,)).step(Cancel()):
    pass
"""


def stored(box: Outbox, packet: Packet) -> int:
    return sum(item.fate is Fate.STORED for item in box.packet(packet.id).items)


@pytest.mark.parametrize("service", SERVICES)
def test_our_own_process_is_killed_while_it_sends(
    own_pacs: Orthanc, files: list[Path], uids: list[str], tmp_path: Path, service: str
) -> None:
    clock = Clock()
    box = Outbox(tmp_path / "outbox", clock)
    node = node_of(own_pacs, service)
    packet = box.add("PACS", files)
    words = [sys.executable, "-c", SENDING, str(box.folder), json.dumps(asdict(node))]
    dice, cut = random.Random(11), 0
    for _ in range(6):
        with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(APP)}) as sending:
            there = stored(box, packet)
            while sending.poll() is None and stored(box, packet) == there:
                time.sleep(0.002)  # between two looks
            time.sleep(dice.random() * 0.02)  # somewhere on the way
            sending.kill()
        now = box.packet(packet.id)
        cut += now.state is State.SENDING
        if not now.open or now.state is State.SENT:
            break
        box.settle(now, now.state, reason=now.reason, next_at=0.0, attempts=now.attempts)  # its time has come
    assert cut, "it was never killed in the middle"
    last = settled(box, clock, node, packet)
    assert last.state is (State.COMMITTED if service == "dimse" else State.SENT)
    assert sorted(own_pacs.instances()) == uids


def test_an_object_that_the_receiver_lost_goes_again(pacs: Orthanc, files: list[Path], tmp_path: Path) -> None:
    clock = Clock()
    box = Outbox(tmp_path / "outbox", clock)
    node = node_of(pacs, "dimse")
    packet = box.add("PACS", files[:3])
    sender = Sender(box, lambda: (node,))
    assert sender.step(Cancel())
    assert box.packet(packet.id).state is State.SENT
    pacs.clear()
    sender.close()
    assert settled(box, clock, node, packet).state is State.COMMITTED
    assert len(pacs.instances()) == 3


def test_what_is_wrong_is_said_plainly(pacs: Orthanc) -> None:
    wrong = {
        "does not go by the AE title WRONG": pacs.node(ae_title="WRONG"),
        "Nobody answers at 127.0.0.1": pacs.web(url=f"http://127.0.0.1:{free_port()}/dicom-web"),
        "no such service at this address": pacs.web(url=f"{pacs.url}/nowhere"),
        "its certificate is not trusted": pacs.web(url=f"https://127.0.0.1:{pacs.http}/dicom-web"),
        "Nobody whose certificate is trusted": pacs.node(tls=True, timeout_s=2.0),
    }
    for words, node in wrong.items():
        with pytest.raises(UserError) as raised:
            echo(node)
        assert words in str(raised.value)


def test_a_secret_opens_the_door(pacs_there: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.orthanc import orthanc

    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"overread": "secret"}, "RemoteAccessAllowed": True}
    monkeypatch.setenv("PACS_TOKEN", "Basic b3ZlcnJlYWQ6c2VjcmV0")
    with orthanc(tmp_path / "shut", ready=401, **users) as shut:
        with pytest.raises(UserError, match="does not know who we are"):
            echo(shut.web())
        echo(shut.web(token_env="PACS_TOKEN", token_header="Authorization"))
