"""A model's probabilities leave as it stated them, whatever the reader did then; others read the same values."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from overread.dicom import write_fractional as writing
from overread.dicom.export import export
from overread.dicom.source import source_headers
from overread.dicom.write_fractional import write_fractional
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Mask, Status, Term
from overread.domain.study import Stack
from overread.infer.segment import field
from overread.session.products import products
from overread.session.profiles import profiles
from support.findings import ABNORMAL, READER, TUMOUR, blob, finding, opened
from support.gates import pass_gate
from support.leaving import faults, spoil
from support.series import write_series

FRACTIONAL = products(["fractional"])


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    orientation = (0.96, 0.28, 0.0, -0.168, 0.576, -0.8)
    write_series(tmp_path / "in", np.zeros((6, 8, 10), np.int16), orientation=orientation, spacing=(0.9, 0.8), step=3.3)
    return opened(tmp_path / "in", tmp_path)


def likely(stack: Stack, number: int, **more: object) -> Finding:
    """What a model drew, from the middle of its scale on, and what it held for less likely in the box and around it."""
    mask = Mask.of(blob(stack, number))
    chance = np.random.default_rng(number)
    whole = np.where(mask.voxels, chance.integers(128, 256, mask.shape), chance.integers(0, 128, mask.shape))
    kept = field(mask, whole.astype(np.uint8), (1, 2, 3))
    assert kept is not None
    assert (kept.inner < 128).any()
    assert kept.inner.size > mask.inner.size
    return replace(finding(stack, mask.voxels, number), probabilities=kept, **more)  # type: ignore[arg-type]


def pair(stack: Stack) -> list[Finding]:
    """One accepted, and one that the reader redrew and called something else; their models' voxels overlap."""
    second = likely(stack, 2)
    called = {"label": "Oedema", "concept": ABNORMAL, "proposed": Term("Glioma", TUMOUR, ABNORMAL)}
    redrawn = {"mask": Mask.of(blob(stack, 5)), "original": second.mask, "status": Status.EDITED}
    return [likely(stack, 1), replace(second, **called, **redrawn)]


def values_of(finding: Finding) -> np.ndarray:
    assert finding.probabilities is not None
    return finding.probabilities.voxels


REAL = ["glioma-fg6692/05_FLAIR_AX", "brain-mr-oblique", "multiframe/enhanced-mr-siemens-xa10/6_1.dcm"]


@pytest.mark.parametrize("name", REAL)
def test_others_read_the_values_of_the_model(data: Path, tmp_path: Path, tool: Callable[[str], str], name: str) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = pair(stack)
    (written,) = export(stack, findings, tmp_path / "out", READER, FRACTIONAL)
    assert not faults(written.path, tool)
    dataset = pydicom.dcmread(written.path)
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert dataset.MaximumFractionalValue == 255
    assert dataset.SOPClassUID == pydicom.uid.SegmentationStorage
    count = len(stack.frames)
    assert dataset.NumberOfFrames == 2 * count, "every slice of either segment, empty or not"
    seg = hd.seg.segread(written.path)
    where = np.array(source_headers(stack).positions)
    shared = seg.SharedFunctionalGroupsSequence[0]
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = (group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence)[0]
        place = (group.get("PlanePositionSequence") or shared.PlanePositionSequence)[0].ImagePositionPatient
        k = int(np.linalg.norm(where - np.array(place, float), axis=1).argmin())
        assert np.array_equal(frame, values_of(findings[number.ReferencedSegmentNumber - 1])[k])
    described = [seg.get_segment_description(number) for number in (1, 2)]
    assert [segment.tracking_uid for segment in described] == [one.id for one in findings]
    stated = {(segment.segment_label, segment.algorithm_type.value) for segment in described}
    assert stated == {("Glioma 1", "AUTOMATIC"), ("Glioma 2", "AUTOMATIC")}, "what the model said, not the reader"
    assert all(segment.segmented_property_type.value == TUMOUR.value for segment in described)
    assert seg.SegmentSequence[1].SegmentAlgorithmName.startswith("glioma-flair sha256:abababababab")


def test_dcmqi_reads_the_same_values(made: Stack, tmp_path: Path) -> None:
    findings = pair(made)
    (written,) = export(made, findings, tmp_path / "out", READER, FRACTIONAL)
    (tmp_path / "dcmqi").mkdir()
    reader = Path(sys.executable).with_name("segimage2itkimage")
    command = [reader, "--inputDICOM", written.path, "--outputDirectory", tmp_path / "dcmqi", "--outputType", "nrrd"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    images = [sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in sorted((tmp_path / "dcmqi").glob("*.nrrd"))]
    for one in findings:
        assert any(np.array_equal(image, values_of(one)) for image in images)


SPOILT: dict[str, Callable[[Dataset], object]] = {
    "value": lambda d: setattr(d, "PixelData", d.PixelData[:207] + bytes([d.PixelData[207] ^ 1]) + d.PixelData[208:]),
    "scale": lambda d: setattr(d, "MaximumFractionalValue", 254),
    "meaning": lambda d: setattr(d, "SegmentationFractionalType", "OCCUPANCY"),
    "place": lambda d: setattr(
        d.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0], "ImagePositionPatient", [1, 2, 3]
    ),
    "frame": lambda d: d.PerFrameFunctionalGroupsSequence.pop(),
    "tracking": lambda d: setattr(d.SegmentSequence[1], "TrackingUID", "1.2.3"),
    "maker": lambda d: setattr(d.SegmentSequence[1], "SegmentAlgorithmType", "SEMIAUTOMATIC"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_gate_notices_and_nothing_is_left(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    out = tmp_path / "out"
    spoil(monkeypatch, SPOILT[what])
    with pytest.raises(UserError, match="failed the check before export"):
        export(made, pair(made), out, READER, FRACTIONAL)
    assert not out.exists()


def test_outlines_do_not_pass_for_probabilities_nor_the_other_way_round(made: Stack, tmp_path: Path) -> None:
    findings = pair(made)
    outlines, likelihoods = export(made, findings, tmp_path / "out", READER, products(["seg", "fractional"]))
    headers = source_headers(made)
    pass_gate([outlines.path, likelihoods.path], headers, findings, ["seg", "fractional"])
    for path, name in ((likelihoods.path, "seg"), (outlines.path, "fractional")):
        with pytest.raises(UserError, match="another kind of"):
            pass_gate([path], headers, findings, [name])


def test_without_probabilities_nothing_is_written_and_the_reason_is_said(made: Stack, tmp_path: Path) -> None:
    plain, drawn = finding(made, blob(made, 1)), finding(made, blob(made, 2), 2, model=None, score=None)
    with pytest.raises(UserError, match=r"^No probabilities of it were kept: its model gives none, or its box has"):
        export(made, [plain], tmp_path / "out", READER, FRACTIONAL)
    with pytest.raises(UserError, match=r"^No model drew it, so nobody gave probabilities of it\."):
        export(made, [drawn], tmp_path / "out", READER, FRACTIONAL)
    assert not (tmp_path / "out").exists()
    seg, one = export(made, [plain, likely(made, 3)], tmp_path / "out", READER, products(["seg", "fractional"]))
    assert len(pydicom.dcmread(seg.path).SegmentSequence) == 2
    assert len(pydicom.dcmread(one.path).SegmentSequence) == 1


def test_it_leaves_by_name_alone() -> None:
    assert not [name for name, held in profiles({}).items() if "fractional" in held]


def test_large_ones_go_into_files_of_their_own(made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_AT_ONCE", 2 * 6 * 8 * 10)
    findings = [likely(made, number) for number in range(1, 6)]
    written = export(made, findings, tmp_path / "out", READER, FRACTIONAL)
    held = [[segment.TrackingUID for segment in pydicom.dcmread(item.path).SegmentSequence] for item in written]
    assert sorted(held) == [[one.id for one in findings[at : at + 2]] for at in (0, 2, 4)]


def test_writing_one_takes_about_ten_bytes_a_voxel(tmp_path: Path) -> None:
    shape = (24, 256, 256)
    write_series(tmp_path / "in", np.zeros(shape, np.int16))
    stack = opened(tmp_path / "in", tmp_path)
    one, headers = likely(stack, 1), source_headers(stack)
    write_fractional(stack, headers, [one], READER, 1)  # what is imported and read once is not counted
    tracemalloc.start()
    try:
        write_fractional(stack, headers, [one], READER, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 11 * np.prod(shape)
