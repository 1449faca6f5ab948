"""Every kind of object that we write: stored by a real PACS, fetched back, the same data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from overread.dicom.export import Written
from overread.domain.ports import Cancel
from overread.network.outbox import Outbox
from overread.network.packets import State
from overread.network.sender import Sender
from overread.session.packet import make_packet
from overread.session.products import PRODUCTS
from support.orthanc import Orthanc


@pytest.fixture(scope="module")
def written(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Written]:
    folder = tmp_path_factory.mktemp("packet") / "packet"
    return [item for item in make_packet(demo, folder, PRODUCTS) if item.sop_instance_uid]


@pytest.mark.parametrize("service", ["dimse", "dicomweb"])
def test_all_kinds_come_back_the_same(pacs: Orthanc, written: list[Written], tmp_path: Path, service: str) -> None:
    node = pacs.node() if service == "dimse" else pacs.web()
    box = Outbox(tmp_path / "outbox")
    packet = box.add(node.name, [item.path for item in written])
    sender = Sender(box, lambda: (node,))
    assert sender.step(Cancel())
    assert box.packet(packet.id).state is State.SENT, box.packet(packet.id)
    for item in written:
        sent, back = dcmread(item.path), pacs.fetch(item.sop_instance_uid)
        assert _bare(back) == _bare(sent), item.kind
        assert back.file_meta.MediaStorageSOPClassUID == sent.file_meta.MediaStorageSOPClassUID
        assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


def _bare(dataset: Dataset) -> Dataset:
    """Without the padding after the data set, which belongs to the file."""
    dataset.pop("DataSetTrailingPadding", None)
    return dataset
