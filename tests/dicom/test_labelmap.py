"""Label maps: as many files as overlaps need, each read back by highdicom and dcmqi, and referred to by the report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from overread.dicom.export import export
from overread.dicom.source import source_headers
from overread.dicom.write_seg import layers
from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.study import Stack
from overread.session.products import products
from support.findings import READER, blob, finding, opened, three
from support.gates import pass_gate
from support.series import write_series


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    write_series(tmp_path / "in", np.zeros((6, 8, 10), np.int16), spacing=(0.9, 0.8), step=3.3)
    return opened(tmp_path / "in", tmp_path)


def apart(stack: Stack) -> list[Finding]:
    """Two findings that share no voxel."""
    first, second = blob(stack, 1), blob(stack, 2)
    return [finding(stack, first & ~second), finding(stack, second & ~first, 2)]


def test_findings_that_share_no_voxel_are_one_label_map(made: Stack, tmp_path: Path) -> None:
    findings = apart(made)
    (written,) = export(made, findings, tmp_path / "out", READER, products(["labelmap"]))
    seg = hd.seg.segread(written.path)
    assert seg.segmentation_type is hd.seg.SegmentationTypeValues.LABELMAP
    groups = seg.PerFrameFunctionalGroupsSequence
    k_of = [round(float(group.PlanePositionSequence[0].ImagePositionPatient[2]) / 3.3) for group in groups]
    assert sorted(k_of) == list(range(6)), "every slice, empty or not"
    labels = np.zeros(made.grid.shape, int)
    labels[k_of] = seg.pixel_array
    for number, one in enumerate(findings, start=1):
        assert np.array_equal(labels == number, one.mask.voxels)
    described = [seg.get_segment_description(number) for number in (1, 2)]
    assert [segment.tracking_uid for segment in described] == [one.id for one in findings]


def test_dcmqi_reads_the_same_voxels(made: Stack, tmp_path: Path) -> None:
    findings = apart(made)
    (written,) = export(made, findings, tmp_path / "out", READER, products(["labelmap"]))
    (tmp_path / "dcmqi").mkdir()
    reader = Path(sys.executable).with_name("segimage2itkimage")
    command = [reader, "--inputDICOM", written.path, "--outputDirectory", tmp_path / "dcmqi", "--outputType", "nrrd"]
    subprocess.run([str(word) for word in command], capture_output=True, check=True)
    images = [sitk.ReadImage(str(path)) for path in (tmp_path / "dcmqi").glob("*.nrrd")]
    for number, one in enumerate(findings, start=1):
        held = np.any([sitk.GetArrayFromImage(image) == number for image in images], axis=0)
        assert np.array_equal(held, one.mask.voxels)


def test_what_overlaps_goes_into_files_of_its_own(made: Stack, tmp_path: Path) -> None:
    findings = three(made)
    wanted = layers(findings)
    assert sum(map(len, wanted)) == 3
    assert len(wanted) > 1
    *maps, report = export(made, findings, tmp_path / "out", READER, products(["labelmap", "sr"]))
    assert [len(pydicom.dcmread(item.path).SegmentSequence) - 1 for item in maps] == [len(layer) for layer in wanted]
    groups = hd.sr.srread(report.path).content.get_volumetric_roi_measurement_groups()
    where = {one.id: item.sop_instance_uid for item, layer in zip(maps, wanted, strict=True) for one in layer}
    referred = {str(group.tracking_uid): str(group.referenced_segment.referenced_sop_instance_uid) for group in groups}
    assert referred == where


SPOILT: dict[str, Callable[[Dataset], object]] = {
    "voxel": lambda d: setattr(d, "PixelData", d.PixelData[:200] + bytes([d.PixelData[200] ^ 1]) + d.PixelData[201:]),
    "number": lambda d: setattr(d, "PixelData", bytes([9]) + d.PixelData[1:]),
    "frame": lambda d: d.PerFrameFunctionalGroupsSequence.pop(),
    "tracking": lambda d: setattr(d.SegmentSequence[1], "TrackingUID", "1.2.3"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_check_notices(made: Stack, tmp_path: Path, what: str) -> None:
    findings = apart(made)
    (written,) = export(made, findings, tmp_path / "out", READER, products(["labelmap"]))
    spoilt = pydicom.dcmread(written.path)
    SPOILT[what](spoilt)
    spoilt.save_as(tmp_path / "spoilt.dcm")
    pass_gate([written.path], source_headers(made), findings, ["labelmap"])
    with pytest.raises(UserError, match=r"^spoilt.dcm failed the check"):
        pass_gate([tmp_path / "spoilt.dcm"], source_headers(made), findings, ["labelmap"])
