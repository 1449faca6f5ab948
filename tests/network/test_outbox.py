"""The outbox on disk: copies, rows, locks, and what is left when a process dies."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from overread.domain.errors import UserError
from overread.network.outbox import Outbox, delay_s
from overread.network.packets import Fate, State
from support.rights import shut
from support.series import head_like, write_series

APP = Path(__file__).resolve().parents[2] / "app"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("series"), head_like((6, 16, 16)))


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box(tmp_path: Path, clock: Clock) -> Outbox:
    return Outbox(tmp_path / "outbox", clock)


def test_waiting_doubles_from_seconds_to_an_hour() -> None:
    assert [delay_s(n) for n in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert [delay_s(n) for n in (10, 11, 12, 10_000)] == [2560, 3600, 3600, 3600]


def test_a_packet_is_a_copy_of_its_own(box: Outbox, files: list[Path], tmp_path: Path) -> None:
    assert not box.exists
    assert box.packets() == ()
    own = tmp_path / "own.dcm"
    own.write_bytes(files[0].read_bytes())
    packet = box.add("PACS", [own, files[1]])
    own.unlink()
    assert (packet.state, packet.node, packet.attempts, packet.kinds) == (State.WAITING, "PACS", 0, "2 × MR Image")
    assert [box.bytes_of(packet, item) for item in packet.items] == [path.read_bytes() for path in files[:2]]
    assert Outbox(box.folder).packets() == (packet,)
    assert box.packet(packet.id[:6]) == packet


def test_a_copy_that_changed_on_disk_is_noticed(box: Outbox, files: list[Path]) -> None:
    packet = box.add("PACS", files[:2])
    first, second = packet.items
    raw = bytearray((box.folder / packet.id / first.file).read_bytes())
    raw[-1] ^= 1
    (box.folder / packet.id / first.file).write_bytes(raw)
    (box.folder / packet.id / second.file).unlink()
    assert box.bytes_of(packet, first) is None
    assert box.bytes_of(packet, second) is None


def test_what_is_no_dicom_object_is_not_taken_and_leaves_nothing(
    box: Outbox, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.dcm").write_text("no object")
    with pytest.raises(UserError, match=r"text\.dcm is no DICOM object"):
        box.add("PACS", [files[0], tmp_path / "text.dcm"])
    assert box.packets() == ()
    assert [entry.name for entry in box.folder.iterdir() if entry.is_dir()] == []


def test_what_is_due_comes_in_its_order(box: Outbox, files: list[Path], clock: Clock) -> None:
    first, second = box.add("PACS", files[:1]), box.add("PACS", files[1:2])
    box.settle(first, State.WAITING, reason="Nobody answers.", next_at=clock.now + 5, attempts=1)
    assert box.due() == second
    box.settle(second, State.FAILED, reason="Refused.")
    assert box.due() is None
    clock.now += 5
    due = box.due()
    assert due is not None
    assert (due.id, due.reason, due.attempts) == (first.id, "Nobody answers.", 1)


def test_retry_begins_anew_and_remove_forgets(box: Outbox, files: list[Path], clock: Clock) -> None:
    packet = box.add("PACS", files[:2])
    assert box.record(packet, packet.items[0], Fate.STORED)
    assert box.record(packet, packet.items[1], Fate.REFUSED, "No.")
    box.settle(packet, State.FAILED, reason="No.", attempts=3)
    box.retry(packet.id)
    again = box.packet(packet.id)
    assert (again.state, again.attempts, again.next_at) == (State.WAITING, 0, clock.now)
    assert [item.fate for item in again.items] == [Fate.STORED, Fate.WAITING]
    box.remove(packet.id)
    assert box.packets() == ()
    assert not (box.folder / packet.id).exists()
    assert not box.record(packet, packet.items[1], Fate.STORED)
    with pytest.raises(UserError, match="no packet"):
        box.retry(packet.id)


def test_what_has_arrived_keeps_no_files_and_is_not_sent_again(box: Outbox, files: list[Path], clock: Clock) -> None:
    packet = box.add("PACS", files[:1])
    box.settle(packet, State.SENT, next_at=clock.now)  # commitment is still to be asked for
    assert (box.folder / packet.id).exists()
    box.settle(packet, State.COMMITTED)
    assert not (box.folder / packet.id).exists()
    with pytest.raises(UserError, match="has arrived"):
        box.retry(packet.id)
    clock.now += 31 * 86400
    box.add("PACS", files[1:2])
    assert [left.node for left in box.packets()] == ["PACS"]


def test_one_sends_at_a_time(box: Outbox, files: list[Path]) -> None:
    box.add("PACS", files[:1])
    with box.sender() as mine, box.sender() as other:
        assert (mine, other) == (True, False)
    code = (
        f"from overread.network.outbox import Outbox\nfrom pathlib import Path\n"
        f"with Outbox(Path({str(box.folder)!r})).sender() as mine: print(mine)"
    )
    with box.sender():
        assert _python(code) == "False"
    assert _python(code) == "True"


def test_a_damaged_outbox_is_said_plainly(box: Outbox, files: list[Path]) -> None:
    box.folder.mkdir()
    (box.folder / "outbox.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="damaged"):
        box.packets()
    with pytest.raises(UserError, match="damaged"):
        box.add("PACS", files[:1])


@pytest.mark.skipif(os.name != "posix", reason="rights are not those of POSIX here")
def test_a_folder_that_cannot_be_written_is_said_plainly(open_place: Path, files: list[Path]) -> None:
    place = open_place / "shut"
    place.mkdir()
    shut(place)
    with pytest.raises(UserError, match="cannot be written"):
        Outbox(place / "outbox").add("PACS", files[:1])
    assert list(place.iterdir()) == []


def test_an_outbox_of_a_newer_version_is_left_alone(box: Outbox, files: list[Path]) -> None:
    box.add("PACS", files[:1])
    with sqlite3.connect(box.folder / "outbox.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(UserError, match="newer Overread"):
        box.packets()


ADDING = """
import sys
from pathlib import Path
from overread.network.outbox import Outbox
box, files = Outbox(Path(sys.argv[1])), [Path(name) for name in sys.argv[2:]]
while True:
    print(box.add("PACS", files).id, flush=True)
"""


def test_a_process_killed_while_it_adds_leaves_whole_packets(box: Outbox, files: list[Path]) -> None:
    promised: list[str] = []
    dice = random.Random(5)
    for _ in range(6):
        words = [sys.executable, "-c", ADDING, str(box.folder), *map(str, files)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=_environment()) as adding:
            assert adding.stdout is not None
            promised.append(adding.stdout.readline().strip())
            try:
                adding.wait(dice.random() * 0.05)
            except subprocess.TimeoutExpired:
                adding.kill()
            promised += adding.stdout.read().split()
    packets = {packet.id: packet for packet in box.packets()}
    assert set(filter(None, promised)) <= set(packets)
    for packet in packets.values():
        assert len(packet.items) == len(files)
        assert all(box.bytes_of(packet, item) is not None for item in packet.items)
    assert box.packet(box.add("PACS", files[:1]).id)  # and what was half done does not keep anybody from going on
    folders = {entry.name for entry in box.folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    assert folders == {packet.id for packet in box.packets()}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(APP)}


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    return done.stdout.strip()
