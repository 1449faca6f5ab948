"""What becomes of packets: a receiver of our own that refuses, aborts, rejects and commits as the test says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, RLELossless, SegmentationStorage

from overread.domain.ports import Cancel
from overread.network.nodes import Node
from overread.network.outbox import Outbox
from overread.network.packets import Fate, Packet, State
from overread.network.sender import Sender
from support.scp import Receiver, receiver
from support.series import head_like, write_series
from support.servers import free_port

NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("series"), head_like((3, 16, 16)))


class Post:
    """An outbox, its sender, and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.now, self.nodes = NOW, ()
        self.box = Outbox(folder, lambda: self.now)
        self.sender = Sender(self.box, lambda: self.nodes)

    nodes: tuple[Node, ...]

    def send(self, node: Node, files: list[Path]) -> Packet:
        """Put a packet in and try once."""
        self.nodes = (*[other for other in self.nodes if other.name != node.name], node)
        packet = self.box.add(node.name, files)
        assert self.sender.step(Cancel())
        return self.box.packet(packet.id)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path / "outbox")
    yield made
    made.sender.close()


def saying(*answers: int | str) -> Callable[[Dataset], int | str]:
    """Each object gets the next answer, the last one all that follow."""
    left = list(answers)
    return lambda dataset: left.pop(0) if len(left) > 1 else left[0]


def test_what_is_taken_arrives_as_it_was(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage]) as own:
        packet = post.send(own.node(), files)
    assert (packet.state, packet.next_at, packet.reason) == (State.SENT, None, "")
    assert own.got == [dcmread(path) for path in files]
    assert not post.sender.step(Cancel())


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_is_told_and_the_object_is_there(post: Post, files: list[Path], status: int) -> None:
    with receiver([MRImageStorage], saying(status)) as own:
        packet = post.send(own.node(), files)
    assert packet.state is State.SENT
    assert f"warning (0x{status:04X})" in packet.reason


def test_a_duplicate_is_no_harm(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage], saying(0x0111)) as own:
        packet = post.send(own.node(), files)
    assert packet.state is State.SENT
    assert "there already" in packet.reason


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA900, "does not match its SOP class (0xA900)"),
        (0xA9AB, "does not match its SOP class (0xA9AB)"),
        (0xC123, "cannot understand the object (0xC123)"),
        (0x0122, "does not support this SOP class (0x0122)"),
        (0x0124, "not authorised (0x0124)"),
        (0x0999, "no reason that is known (0x0999)"),
    ],
)
def test_what_is_refused_for_good_is_named_and_not_tried_again(
    post: Post, files: list[Path], status: int, words: str
) -> None:
    with receiver([MRImageStorage], saying(0x0000, status, 0x0000)) as own:
        packet = post.send(own.node(), files)
        assert (packet.state, packet.next_at) == (State.FAILED, None)
        assert packet.reason.startswith("MR Image: Refused: ")
        assert words in packet.reason
        assert [item.fate for item in packet.items] == [Fate.STORED, Fate.REFUSED, Fate.STORED]
        post.now += 86400
        assert not post.sender.step(Cancel())
        post.box.retry(packet.id)  # a person may try again: what is there already does not go once more
        own.say = saying(0x0000)
        assert post.sender.step(Cancel())
    assert post.box.packet(packet.id).state is State.SENT
    assert len(own.got) == 4


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0213])
def test_what_is_not_taken_now_is_tried_again_alone(post: Post, files: list[Path], status: int) -> None:
    with receiver([MRImageStorage], saying(0x0000, status, 0x0000)) as own:
        packet = post.send(own.node(), files)
        assert (packet.state, packet.next_at, packet.attempts) == (State.WAITING, NOW + 5, 1)
        assert f"0x{status:04X}" in packet.reason
        assert not post.sender.step(Cancel())
        post.now += 5
        assert post.sender.step(Cancel())
    assert post.box.packet(packet.id).state is State.SENT
    uids = [str(dataset.SOPInstanceUID) for dataset in own.got]
    assert sorted(uids) == sorted([*(dcmread(path).SOPInstanceUID for path in files), uids[1]])


def test_an_abort_in_the_middle_goes_on_where_it_was(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage], saying(0x0000, "abort", 0x0000)) as own:
        packet = post.send(own.node(), files)
        assert (packet.state, packet.next_at) == (State.WAITING, NOW + 5)
        assert [item.fate for item in packet.items] == [Fate.STORED, Fate.WAITING, Fate.WAITING]
        post.now += 5
        assert post.sender.step(Cancel())
    assert post.box.packet(packet.id).state is State.SENT
    assert len(own.got) == 3


def test_an_object_that_is_not_taken_is_named_and_the_others_go(post: Post, files: list[Path], tmp_path: Path) -> None:
    other = dcmread(files[0])
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    other.save_as(tmp_path / "other.dcm")
    with receiver([MRImageStorage]) as own:
        packet = post.send(own.node(), [tmp_path / "other.dcm", *files])
    assert packet.state is State.FAILED
    assert packet.reason == "Segmentation: It takes no Segmentation Storage."
    assert len(own.got) == len(files)


def test_a_receiver_that_takes_none_of_it_says_so(post: Post, files: list[Path]) -> None:
    with receiver([SegmentationStorage]) as own:
        packet = post.send(own.node(), files)
    assert (packet.state, packet.reason) == (State.FAILED, "MR Image: It takes no MR Image Storage.")


def test_a_compressed_object_goes_as_it_is_or_not_at_all(post: Post, files: list[Path], tmp_path: Path) -> None:
    squeezed = dcmread(files[0])
    squeezed.compress(RLELossless)
    squeezed.save_as(tmp_path / "squeezed.dcm")
    with receiver([MRImageStorage]) as own:
        packet = post.send(own.node(), [tmp_path / "squeezed.dcm"])
    assert packet.state is State.FAILED
    assert "as RLE Lossless" in packet.reason
    with receiver([MRImageStorage], syntaxes=[RLELossless]) as own:
        assert post.send(own.node(), [tmp_path / "squeezed.dcm"]).state is State.SENT
    assert own.got[0].PixelData == dcmread(tmp_path / "squeezed.dcm").PixelData


def test_an_uncompressed_object_goes_in_the_form_that_is_taken(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage], syntaxes=[ImplicitVRLittleEndian]) as own:
        assert post.send(own.node(), files).state is State.SENT
    assert list(own.got) == [dcmread(path) for path in files]


def test_an_object_is_not_rewritten_where_it_is_taken_as_it_is(post: Post, files: list[Path], tmp_path: Path) -> None:
    implicit = dcmread(files[0])
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit.save_as(tmp_path / "implicit.dcm", implicit_vr=True, little_endian=True)
    with receiver([MRImageStorage]) as own:
        assert post.send(own.node(), [tmp_path / "implicit.dcm", files[1]]).state is State.SENT
    assert [got.file_meta.TransferSyntaxUID for got in own.got] == [ImplicitVRLittleEndian, ExplicitVRLittleEndian]


@pytest.mark.parametrize(
    ("limits", "state", "words"),
    [
        ({"require_calling_aet": ["OTHER"]}, State.FAILED, "not know the AE title that we call ourselves (OVERREAD)"),
        ({"ae_title": "OTHER", "require_called_aet": True}, State.FAILED, "does not go by the AE title RECEIVER"),
        ({"_maximum_associations": 0}, State.WAITING, "it has reached its limit of associations"),
    ],
)
def test_a_rejected_association_says_why(
    post: Post, files: list[Path], limits: dict[str, Any], state: State, words: str
) -> None:
    with receiver([MRImageStorage], limits=limits) as own:
        for _ in range(5):  # this receiver may hang up before its answer is read
            packet = post.send(own.node(), files)
            if "did not come about" not in packet.reason:
                break
    assert packet.state is state
    assert words in packet.reason


def test_nobody_there_is_tried_ever_later(post: Post, files: list[Path]) -> None:
    nobody = Node("PACS", host="127.0.0.1", port=free_port(), timeout_s=2.0)
    packet = post.send(nobody, files)
    waits = []
    for _ in range(5):
        packet = post.box.packet(packet.id)
        assert packet.state is State.WAITING
        assert packet.reason == f"Nobody answers at 127.0.0.1:{nobody.port}."
        assert packet.next_at is not None
        waits.append(packet.next_at - post.now)
        post.now = packet.next_at
        assert post.sender.step(Cancel())
    assert waits == [5, 10, 20, 40, 80]


def test_a_receiver_that_left_the_settings_is_named(post: Post, files: list[Path]) -> None:
    packet = post.box.add("GONE", files)
    assert post.sender.step(Cancel())
    assert post.box.packet(packet.id).state is State.FAILED
    assert "no receiver named GONE" in post.box.packet(packet.id).reason


def test_a_copy_that_changed_on_disk_never_leaves(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage]) as own:
        post.nodes = (own.node(),)
        packet = post.box.add("OWN", files)
        place = post.box.folder / packet.id / packet.items[1].file
        place.write_bytes(place.read_bytes()[:-2] + b"\x07\x07")
        assert post.sender.step(Cancel())
    packet = post.box.packet(packet.id)
    assert packet.state is State.FAILED
    assert packet.reason == "MR Image: Its copy in the outbox was lost or changed."
    assert len(own.got) == 2


def test_called_off_it_waits_and_no_attempt_counts(post: Post, files: list[Path]) -> None:
    cancel = Cancel()

    def stopping(dataset: Dataset) -> int:
        cancel.cancel()
        return 0x0000

    with receiver([MRImageStorage], stopping) as own:
        post.nodes = (own.node(),)
        packet = post.box.add("OWN", files)
        assert post.sender.step(cancel)
    packet = post.box.packet(packet.id)
    assert (packet.state, packet.attempts, packet.reason) == (State.WAITING, 0, "It was called off.")


def test_a_packet_that_is_taken_out_while_it_goes_is_gone(post: Post, files: list[Path]) -> None:
    def removing(dataset: Dataset) -> int:
        for packet in post.box.packets():
            post.box.remove(packet.id)
        return 0x0000

    with receiver([MRImageStorage], removing) as own:
        post.nodes = (own.node(),)
        post.box.add("OWN", files)
        assert post.sender.step(Cancel())
    assert post.box.packets() == ()
    assert len(own.got) == 1


def committing(lost: dict[int, int]) -> Callable[[Dataset], Dataset]:
    """A report that fails these objects, counted from 0, for these reasons."""

    def report(asked: Dataset) -> Dataset:
        said = Dataset()
        said.TransactionUID = asked.TransactionUID
        wanted = list(asked.ReferencedSOPSequence)
        said.ReferencedSOPSequence = [item for n, item in enumerate(wanted) if n not in lost]
        for n, reason in lost.items():
            wanted[n].FailureReason = reason
        if lost:
            said.FailedSOPSequence = [wanted[n] for n in lost]
        return said

    return report


def committed(post: Post, own: Receiver, files: list[Path]) -> Packet:
    packet = post.send(own.node(commit_port=free_port()), files)
    assert (packet.state, packet.open) == (State.SENT, True)
    assert post.sender.step(Cancel())
    return post.box.packet(packet.id)


def test_a_promise_on_the_same_association_counts(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage], commits=committing({})) as own:
        packet = committed(post, own, files)
    assert (packet.state, packet.open) == (State.COMMITTED, False)
    assert not (post.box.folder / packet.id).exists()


def test_what_was_lost_there_goes_again(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage], commits=committing({1: 0x0112})) as own:
        packet = committed(post, own, files)
        assert packet.state is State.WAITING
        assert packet.reason == "MR Image: Not kept: it does not have it (0x0112)."
        assert packet.next_at is not None
        post.now = packet.next_at
        assert post.sender.step(Cancel())
    assert [str(dataset.SOPInstanceUID) for dataset in own.got[3:]] == [packet.items[1].sop_instance_uid]


def test_what_is_not_kept_for_good_is_named(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage], commits=committing({0: 0x0122})) as own:
        packet = committed(post, own, files)
    assert packet.state is State.FAILED
    assert "0x0122" in packet.reason


def test_a_receiver_that_offers_no_commitment_has_it_nevertheless(post: Post, files: list[Path]) -> None:
    with receiver([MRImageStorage]) as own:
        packet = committed(post, own, files)
    assert (packet.state, packet.open) == (State.SENT, False)
    assert "does not offer storage commitment" in packet.reason


def test_nothing_of_the_patient_is_logged(
    post: Post, files: list[Path], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        with receiver([MRImageStorage], saying(0xC000, "abort")) as own:
            post.send(own.node(), files)
        post.send(replace(own.node(), timeout_s=1.0), files)
    assert "TEST" not in caplog.text + capfd.readouterr().err
