"""Whatever bytes a file holds, it is read or left out with a reason, and nothing of a patient gets into a log."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from overread.dicom.codecs import Undecodable
from overread.dicom.load import empty_volume, load
from overread.dicom.scan import scan, scanned
from support.series import changed, write_series

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def test_every_real_file_is_read_or_left_out_with_one_plain_reason(data: Path, scratch: Path) -> None:
    everything = {path for path in (data / "dicom").rglob("*") if path.is_file()}
    catalogue = scanned((data / "dicom",), scratch)
    read = {Path(path) for stack in catalogue.stacks for path in stack.paths}
    left = [Path(skipped.path) for skipped in catalogue.skipped]
    told = {Path(each.path) for p in catalogue.patients for study in p.studies for each in study.objects}
    assert len(left) == len(set(left))
    assert not read & set(left)
    assert not told & (read | set(left))
    assert read | told | set(left) == everything
    for skipped in catalogue.skipped:
        assert skipped.reason
        assert "\n" not in skipped.reason
        assert "1.2.840" not in skipped.reason
        assert "Error" not in skipped.reason
    named = [(p.id, p.name, p.birth_date) for p in catalogue.patients if p.id]
    assert len(named) == len(set(named))


def test_the_scan_tells_the_same_in_one_go_and_piece_by_piece(
    data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data / "dicom" / "multiframe"
    whole = scanned((folder,), scratch)
    monkeypatch.setattr("overread.dicom.scan._EVERY_S", -1.0)
    steps = list(scan((folder,), scratch))
    assert len(steps) == sum(path.is_file() for path in folder.rglob("*")) + 1
    assert [stack.uid for stack in steps[-1].stacks] == [stack.uid for stack in whole.stacks]
    assert steps[-1].skipped == whole.skipped
    counts = [len(step.skipped) for step in steps]
    assert counts == sorted(counts)


def seeds(folder: Path) -> Iterator[Path]:
    """One small file of each kind."""
    (plain,) = write_series(folder / "plain", VOXELS[:1], WindowCenter=40, WindowWidth=80)
    yield plain
    for name, compress in (("rle", True), ("deflated", False)):
        (path,) = write_series(folder / name, VOXELS[:1])
        image = pydicom.dcmread(path)
        if compress:
            image.compress(pydicom.uid.RLELossless)
        else:
            image.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        image.save_as(path)
        yield path
    (path,) = write_series(folder / "frames", VOXELS[:1])
    image = pydicom.dcmread(path)
    group = Dataset()
    plane, measures = Dataset(), Dataset()
    plane.ImagePositionPatient = [0, 0, 0]
    measures.PixelSpacing = [1, 1]
    group.PlanePositionSequence, group.PixelMeasuresSequence = [plane], [measures]
    image.PerFrameFunctionalGroupsSequence = [group, group]
    image.NumberOfFrames = 2
    image.PixelData = image.PixelData * 2
    image.save_as(path)
    yield path


def damaged(original: bytes, chance: random.Random) -> bytes:
    data = bytearray(original)
    match chance.randrange(4):
        case 0:
            del data[chance.randrange(len(data)) :]
        case 1:
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(132, len(data))] = chance.randrange(256)
        case 2:
            at = chance.randrange(132, len(data))
            del data[at : at + chance.randrange(1, 40)]
        case _:
            at = chance.randrange(132, len(data))
            data[at:at] = chance.randbytes(chance.randrange(1, 40))
    return bytes(data)


def test_damaged_bytes_never_raise(tmp_path: Path, scratch: Path) -> None:
    chance = random.Random(20260101)
    folder = tmp_path / "fuzz"
    folder.mkdir()
    for seed in seeds(tmp_path):
        original = seed.read_bytes()
        for number in range(150):
            (folder / f"{seed.parent.name}{number}").write_bytes(damaged(original, chance))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        catalogue = scanned((folder,), scratch)
        read = {path for stack in catalogue.stacks for path in stack.paths}
        left = {skipped.path for skipped in catalogue.skipped}
        assert read | left == {str(path) for path in folder.iterdir()}
        outcomes = set()
        for stack in catalogue.stacks:
            try:
                _, voxels = empty_volume(stack)
            except Undecodable:
                continue
            if voxels.nbytes < 1 << 28:
                done = [
                    k for arrived in load(stack, voxels) for k in (*arrived.slices, *(f[0] for f in arrived.failed))
                ]
                assert sorted(done) == list(range(len(stack.frames)))
                outcomes |= {bool(arrived.failed) for arrived in load(stack, voxels)}
    assert outcomes == {True, False}


def test_no_name_or_number_of_a_patient_gets_into_a_log(
    tmp_path: Path, scratch: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = b"TOPSECRET"
    wrong: dict[str, bytes] = {
        "PatientID": secret * 8,
        "PatientName": secret + b"^\xff\xfe=" + secret * 9,
        "PatientBirthDate": secret,
        "StudyInstanceUID": secret,
        "ImagePositionPatient": secret,
        "WindowCenter": secret,
        "SpecificCharacterSet": secret,
        "SeriesNumber": secret,
    }
    written = write_series(tmp_path / "in", VOXELS)
    for path in written:
        changed(path, **wrong)
    written[0].write_bytes(written[0].read_bytes()[:-7])
    written[1].write_bytes(written[1].read_bytes()[:400])
    recwarn.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        catalogue = scanned((tmp_path / "in",), scratch)
        for stack in catalogue.stacks:
            list(load(stack, empty_volume(stack)[1]))
    assert list(catalogue.stacks)
    said = caplog.text + "".join(str(item.message) for item in caught)
    assert "TOPSECRET" not in said + "".join(skipped.reason for skipped in catalogue.skipped)
