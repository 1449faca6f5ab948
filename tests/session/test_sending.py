"""Sending in the background, with a clock that the test moves and work that runs when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage

from overread.domain.errors import UserError
from overread.network.nodes import Node
from overread.network.outbox import Outbox
from overread.network.packets import Packet, State
from overread.session.jobs import Inline, Jobs
from overread.session.sending import Sending, Status, spoken
from support.scp import receiver
from support.series import head_like, write_series
from support.servers import free_port

NOW = 1_700_000_000.0


class Desk:
    """The sending of a sitting whose workers work at once."""

    def __init__(self, folder: Path) -> None:
        self.now, self.nodes = NOW, ()
        self.errors: list[BaseException] = []
        self.jobs = Jobs(lambda action: action(), Inline(), self.errors.append)
        self.sending = Sending(self.jobs, lambda: self.nodes, Outbox(folder, lambda: self.now))

    nodes: tuple[Node, ...]

    def tick(self, times: int = 3, seconds: float = 0.0) -> Status:
        """So many ticks after some seconds; a look, what is due, and what came of it take one each."""
        self.now += seconds
        for _ in range(times):
            self.sending.tick()
            self.now += 2.0
        return self.sending.status


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "outbox")
    yield made
    made.jobs.close()
    made.sending.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("series"), head_like((2, 16, 16)))


def test_nothing_is_made_where_nothing_is_sent(desk: Desk) -> None:
    assert desk.tick() == Status()
    assert not desk.sending.box.folder.exists()
    assert Status().text == ""


def test_what_is_queued_is_sent(desk: Desk, files: list[Path]) -> None:
    told: list[Packet] = []
    with receiver([MRImageStorage]) as own:
        desk.nodes = (own.node(),)
        desk.sending.queue(own.node(), files, told.append)
        assert desk.tick().text == ""
    assert [packet.state for packet in told] == [State.WAITING]
    assert [packet.state for packet in desk.sending.packets] == [State.SENT]
    assert len(own.got) == 2
    assert not desk.errors


def test_what_waits_says_how_long_and_goes_when_its_time_has_come(desk: Desk, files: list[Path]) -> None:
    port = free_port()
    desk.nodes = (Node("PACS", host="127.0.0.1", port=port, timeout_s=2.0),)
    desk.sending.queue(desk.nodes[0], files, lambda packet: None)
    status = desk.tick(2)
    assert (status.waiting, status.node, status.failed) == (1, "PACS", 0)
    assert status.text.startswith("1 waits for PACS · next try in ")
    with receiver([MRImageStorage]) as own:
        desk.nodes = (Node("PACS", host="127.0.0.1", port=own.port, ae_title="RECEIVER"),)
        assert desk.tick(seconds=3600.0) == Status()
        assert len(own.got) == 2


def test_a_sitting_goes_on_with_what_the_last_one_left(desk: Desk, files: list[Path]) -> None:
    desk.sending.box.add("OWN", files)
    with receiver([MRImageStorage]) as own:
        desk.nodes = (own.node(),)
        desk.tick()
        assert len(own.got) == 2


def test_what_failed_is_counted_until_it_is_tried_again_or_removed(desk: Desk, files: list[Path]) -> None:
    with receiver([MRImageStorage], lambda dataset: 0xA900) as own:
        desk.nodes = (own.node(),)
        desk.sending.queue(own.node(), files, lambda packet: None)
        status = desk.tick()
        assert (status.failed, status.text) == (1, "1 could not be sent")
        own.say = lambda dataset: 0x0000
        desk.sending.retry(desk.sending.packets[0].id)
        assert desk.tick() == Status()
        assert desk.sending.packets[0].state is State.SENT
        desk.sending.remove(desk.sending.packets[0].id)
    desk.tick()
    assert desk.sending.packets == ()


def test_a_disk_that_fails_is_told_once_and_asked_again_later(desk: Desk, files: list[Path]) -> None:
    desk.sending.box.add("OWN", files)
    path = desk.sending.box.folder / "outbox.sqlite"
    sound = path.read_bytes()
    path.write_bytes(b"no database at all" * 100)
    desk.tick(10)
    assert [type(error) for error in desk.errors] == [UserError]
    path.write_bytes(sound)
    desk.tick(seconds=60.0)
    assert [packet.node for packet in desk.sending.packets] == ["OWN"]


def test_how_long_is_said_in_words() -> None:
    assert [spoken(seconds) for seconds in (4.6, 99, 100, 3600)] == ["5 s", "99 s", "2 min", "60 min"]
    assert Status(2, 1, "PACS", 30.0).text == "2 wait for PACS · next try in 30 s · 1 could not be sent"
    assert Status(2, 0, "PACS", 0.0, True).text == "sending to PACS"
