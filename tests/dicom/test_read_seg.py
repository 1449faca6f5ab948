"""Others' segmentations on the images that they were drawn on: voxel for voxel what other software reads from them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes

from overread.dicom.export import export
from overread.dicom.found import Found
from overread.dicom.read_objects import read_objects
from overread.dicom.scan import scanned
from overread.domain.finding import Finding, Status
from overread.domain.study import Catalogue, Stack
from support.findings import READER, opened, three
from support.series import changed, write_series


def read(stack: Stack, catalogue: Catalogue) -> Found:
    return read_objects(stack, catalogue.objects_on(stack))


def only(*paths: Path, scratch: Path) -> tuple[Stack, Found]:
    """The one stack with objects among some paths, and what they say."""
    catalogue = scanned(paths, scratch)
    (stack,) = (each for each in catalogue.stacks if catalogue.objects_on(each))
    return stack, read(stack, catalogue)


def by_dcmqi(seg: Path, stack: Stack, folder: Path) -> dict[str, NDArray[np.bool_]]:
    """What dcmqi reads from a segmentation, put onto the stack by its own positions; segments by their label."""
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("segimage2itkimage")), "--inputDICOM", str(seg)]
    subprocess.run(
        [*command, "--outputDirectory", str(folder), "--outputType", "nrrd"], capture_output=True, check=True
    )
    described = {int(s.SegmentNumber): str(s.SegmentLabel) for s in pydicom.dcmread(seg).SegmentSequence}
    found = {label: np.zeros(stack.grid.shape, bool) for label in described.values()}
    for file in folder.glob("*.nrrd"):
        image = sitk.ReadImage(str(file))
        labels = sitk.GetArrayFromImage(image)
        held = np.argwhere(np.isin(labels, list(described)))  # what no frame covers is Pixel Padding Value
        step = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        at = stack.grid.to_index(held[:, ::-1] @ step.T + image.GetOrigin())
        assert not held.size or np.abs(at - np.rint(at)).max() < 0.02
        for place, (k, j, i) in zip(held, np.rint(at).astype(int), strict=True):
            found[described[int(labels[tuple(place)])]][k, j, i] = True
    return found


DCMQI = {
    "liver.dcm": "ct-3slice",
    "partial_overlaps.dcm": "ct-3slice",
    "23x38x3/seg/label.seg": "23x38x3/image",
    "24x38x3/seg/label.seg": "24x38x3/image",
    "sparse-labelmap-noppv.dcm": "24x38x3/image",
    "sparse-labelmap-ppv5.dcm": "24x38x3/image",
}


@pytest.mark.parametrize("name", DCMQI)
def test_segments_are_voxel_for_voxel_what_dcmqi_reads(data: Path, tmp_path: Path, name: str) -> None:
    home = data / "dicom" / "derived-objects" / "dcmqi" / "segmentations"
    stack, found = only(home / name, home / DCMQI[name], scratch=tmp_path)
    theirs = by_dcmqi(home / name, stack, tmp_path / "dcmqi")
    theirs = {label: voxels for label, voxels in theirs.items() if voxels.any() and label != "Background"}
    assert {finding.label: finding.mask.count for finding in found.findings} == {
        label: int(voxels.sum()) for label, voxels in theirs.items()
    }
    assert all(np.array_equal(finding.mask.voxels, theirs[finding.label]) for finding in found.findings)
    assert not found.notices
    assert {finding.source.remark for finding in found.findings if finding.source} == {""}


@pytest.mark.parametrize("name", ["23x38x3", "24x38x3"])
def test_segments_are_the_label_image_that_they_were_made_from(data: Path, tmp_path: Path, name: str) -> None:
    home = data / "dicom" / "derived-objects" / "dcmqi" / "segmentations" / name
    _, found = only(home / "seg", home / "image", scratch=tmp_path)
    (finding,) = found.findings
    assert np.array_equal(
        finding.mask.voxels, sitk.GetArrayFromImage(sitk.ReadImage(str(home / "nrrd" / "label.nrrd")))
    )
    assert (finding.label, finding.concept.meaning, finding.status) == ("Liver", "Liver", Status.PROPOSED)
    assert finding.model is not None
    assert finding.model.name == "SlicerEditor"


@pytest.mark.parametrize("name", ["binary", "binary_overlap", "binary_fractional", "true_fractional"])
def test_segments_on_classic_ct_are_what_highdicom_reads(data: Path, tmp_path: Path, name: str) -> None:
    folder = Path(str(get_testdata_file("dicomdirtests/77654033/CT2/17106"))).parent
    seg = data / "dicom" / "derived-objects" / "highdicom" / f"seg_image_ct_{name}.dcm"
    stack, found = only(folder, seg, scratch=tmp_path)
    uids = [frame.sop_instance_uid for frame in stack.frames]
    theirs = hd.seg.segread(seg).get_pixels_by_source_instance(uids, ignore_spatial_locations=True)
    assert len(found.findings) == theirs.shape[-1]
    for number, finding in enumerate(found.findings):
        assert np.array_equal(finding.mask.voxels, theirs[..., number] >= 0.5)
        assert finding.source is not None
        assert ("Probabilities" in finding.source.remark) == (name == "true_fractional")


def test_a_picture_without_a_place_gets_what_was_drawn_on_it(data: Path, tmp_path: Path) -> None:
    seg = data / "dicom" / "derived-objects" / "highdicom" / "seg_image_cr_binary.dcm"
    folder = Path(str(get_testdata_file("dicomdirtests/77654033/CR1/6154"))).parent
    stack, found = only(folder, seg, scratch=tmp_path)
    (finding,) = found.findings
    assert np.array_equal(finding.mask.voxels[0], pydicom.dcmread(seg).pixel_array > 0)
    assert not stack.grid.oriented


@pytest.mark.parametrize(
    "name",
    [
        "glioma-fg6692/05_FLAIR_AX",
        "brain-mr-oblique",
        "chest-ct-cptac",
        "multiframe/enhanced-mr-siemens-xa10/6_1.dcm",
        "multiframe/enhanced-mr-philips-fieldmap",
        "derived-objects/dcmqi/segmentations/24x38x3/multiframe/mf.dcm",
    ],
)
def test_what_leaves_comes_back_voxel_for_voxel(data: Path, tmp_path: Path, name: str) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = three(stack)
    seg, _ = export(stack, findings, tmp_path / "out", READER)
    catalogue = scanned((data / "dicom" / name, seg.path), tmp_path / "scratch")
    for each in catalogue.stacks:
        found = read(each, catalogue)
        assert not found.notices
        if each.uid != stack.uid:  # the other images of the same multi-frame file
            assert not found.findings
            continue
        assert [(f.id, f.label, f.mask.digest, f.colour) for f in found.findings] == [
            (f.id, f.label, f.mask.digest, f.colour) for f in findings
        ]
        assert [f.model and (f.model.id, f.model.version, f.model.sha256, f.model.backend) for f in found.findings] == [
            f.model and (f.model.id, f.model.version, f.model.sha256, f.model.backend) for f in findings
        ]


@pytest.mark.parametrize("directions", [(0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (0.8, 0.6, 0, 0.36, -0.48, -0.8)])
def test_sagittal_coronal_and_oblique_come_back_voxel_for_voxel(tmp_path: Path, directions: tuple[float, ...]) -> None:
    write_series(tmp_path / "in", np.zeros((5, 7, 9), np.int16), orientation=directions, spacing=(0.9, 0.7), step=2.2)
    stack = opened(tmp_path / "in", tmp_path / "scratch")
    findings = three(stack)
    seg, _ = export(stack, findings, tmp_path / "out", READER)
    _, found = only(tmp_path / "in", seg.path, scratch=tmp_path / "scratch")
    assert [(f.id, f.mask.digest) for f in found.findings] == [(f.id, f.mask.digest) for f in findings]


# Made by highdicom


def images(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def by_highdicom(
    folder: Path, voxels: NDArray[np.generic], kind: SegmentationTypeValues, path: Path, **more: object
) -> Path:
    """A segmentation by highdicom; voxels (k, j, i[, segments])."""
    segments = voxels.shape[3] if voxels.ndim == 4 else max(int(voxels.max()), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Segmentation(
            images(folder),
            voxels,
            kind,
            [
                SegmentDescription(
                    number, f"Part {number}", codes.SCT.Organ, codes.SCT.Liver, SegmentAlgorithmTypeValues.MANUAL
                )
                for number in range(1, segments + 1)
            ],
            hd.UID(),
            9,
            hd.UID(),
            1,
            "Somebody",
            "Drawer",
            "1",
            "7",
            **more,
        )
        made.save_as(path)
    return path


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_series(tmp_path / "in", np.zeros((6, 10, 12), np.int16), spacing=(0.9, 0.8), step=3.0, SliceThickness=3)
    return tmp_path / "in"


def test_a_label_map_is_read_segment_by_segment(series: Path, tmp_path: Path) -> None:
    labels = np.random.default_rng(4).integers(0, 4, (6, 10, 12)).astype(np.uint8)
    path = by_highdicom(series, labels, SegmentationTypeValues.LABELMAP, tmp_path / "seg.dcm")
    _, found = only(series, path, scratch=tmp_path)
    assert [finding.label for finding in found.findings] == ["Part 1", "Part 2", "Part 3"]
    for number, finding in enumerate(found.findings, start=1):
        assert np.array_equal(finding.mask.voxels, labels == number)


def test_frames_whose_images_are_missing_are_left_out_and_counted(series: Path, tmp_path: Path) -> None:
    voxels = np.zeros((6, 10, 12, 1), np.uint8)
    voxels[1:5, 2:6, 3:7] = 1
    path = by_highdicom(series, voxels, SegmentationTypeValues.BINARY, tmp_path / "seg.dcm")
    for gone in ("003.dcm", "004.dcm", "005.dcm"):
        (series / gone).unlink()
    _, found = only(series, path, scratch=tmp_path)
    (finding,) = found.findings
    assert np.array_equal(finding.mask.voxels, voxels[:3, ..., 0] > 0)
    assert finding.source is not None
    assert finding.source.remark == "2 frames lie where this series has no image, and are left out."


def test_frames_go_where_they_lie_whatever_their_order(series: Path, tmp_path: Path) -> None:
    voxels = np.random.default_rng(7).integers(0, 2, (6, 10, 12, 2)).astype(np.uint8)
    path = by_highdicom(series, voxels, SegmentationTypeValues.BINARY, tmp_path / "seg.dcm", omit_empty_frames=False)
    seg = pydicom.dcmread(path)
    turned = np.random.default_rng(8).permutation(int(seg.NumberOfFrames))
    pixels = seg.pixel_array
    seg.PixelData = pydicom.pixels.pack_bits(pixels[turned])
    groups = list(seg.PerFrameFunctionalGroupsSequence)
    seg.PerFrameFunctionalGroupsSequence = [groups[n] for n in turned]
    seg.save_as(path)
    _, found = only(series, path, scratch=tmp_path)
    for number, finding in enumerate(found.findings):
        assert np.array_equal(finding.mask.voxels, voxels[..., number] > 0)


def fine(tmp_path: Path) -> tuple[Path, Path, NDArray[np.bool_]]:
    """A coarse series, and a segmentation drawn on a finer one in its frame of reference that is not here."""
    write_series(tmp_path / "coarse", np.zeros((6, 10, 12), np.int16), spacing=(0.9, 0.8), step=3.0, SliceThickness=3)
    write_series(
        tmp_path / "fine",
        np.zeros((15, 21, 25), np.int16),
        spacing=(0.42, 0.4),
        step=1.3,
        description="THIN",
        SliceThickness=1.3,
    )
    coarse = pydicom.dcmread(tmp_path / "coarse" / "000.dcm")
    for path in (tmp_path / "fine").iterdir():
        changed(path, FrameOfReferenceUID=coarse.FrameOfReferenceUID, StudyInstanceUID=coarse.StudyInstanceUID)
    voxels = np.random.default_rng(3).random((15, 21, 25)) < 0.4
    path = by_highdicom(
        tmp_path / "fine", voxels[..., None].astype(np.uint8), SegmentationTypeValues.BINARY, tmp_path / "seg.dcm"
    )
    return tmp_path / "coarse", path, voxels


def test_on_another_grid_the_nearest_neighbour_is_shown_and_said(tmp_path: Path) -> None:
    coarse, path, voxels = fine(tmp_path)
    stack, found = only(coarse, path, scratch=tmp_path)
    (finding,) = found.findings
    source = sitk.GetImageFromArray(voxels.astype(np.uint8))
    source.SetSpacing((0.4, 0.42, 1.3))
    target = sitk.GetImageFromArray(np.zeros(stack.grid.shape, np.uint8))
    target.SetSpacing((0.8, 0.9, 3.0))
    theirs = sitk.GetArrayFromImage(sitk.Resample(source, target, sitk.Transform(), sitk.sitkNearestNeighbor))
    assert np.array_equal(finding.mask.voxels, theirs > 0)
    assert finding.source is not None
    assert finding.source.remark == (
        "Drawn on another grid (0.4 × 0.42 × 1.3 mm); shown on this one by nearest neighbour."
    )


def test_with_several_series_in_its_frame_of_reference_it_is_named_and_not_guessed(tmp_path: Path) -> None:
    coarse, path, _ = fine(tmp_path)
    shutil.copytree(coarse, tmp_path / "other")
    for file in (tmp_path / "other").iterdir():
        changed(file, SeriesInstanceUID="1.2.3", SOPInstanceUID=f"1.2.3.{file.stem}")
    catalogue = scanned((coarse, tmp_path / "other", path), tmp_path)
    assert not any(catalogue.objects_on(stack) for stack in catalogue.stacks)
    (skipped,) = catalogue.skipped
    assert skipped.reason.endswith("several series lie in its frame of reference")


def test_mirrored_axes_are_no_other_grid(series: Path, tmp_path: Path) -> None:
    voxels = np.random.default_rng(5).integers(0, 2, (6, 10, 12)).astype(np.uint8)
    path = by_highdicom(series, voxels[..., None], SegmentationTypeValues.BINARY, tmp_path / "seg.dcm")
    seg = pydicom.dcmread(path)
    pixels = seg.pixel_array[:, :, ::-1]
    seg.PixelData = pydicom.pixels.pack_bits(np.ascontiguousarray(pixels))
    shared = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    shared.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    for group in seg.PerFrameFunctionalGroupsSequence:
        plane = group.PlanePositionSequence[0]
        x, y, z = plane.ImagePositionPatient
        plane.ImagePositionPatient = [x + 11 * 0.8, y, z]
    seg.save_as(path)
    _, found = only(series, path, scratch=tmp_path)
    (finding,) = found.findings
    assert np.array_equal(finding.mask.voxels, voxels > 0)
    assert finding.source is not None
    assert finding.source.remark == ""


def test_somebody_elses_segmentation_is_never_shown(series: Path, tmp_path: Path) -> None:
    voxels = np.ones((6, 10, 12, 1), np.uint8)
    path = by_highdicom(series, voxels, SegmentationTypeValues.BINARY, tmp_path / "seg.dcm")
    changed(path, PatientID="SOMEBODY", PatientName="Else^Somebody")
    catalogue = scanned((series, path), tmp_path)
    assert not any(catalogue.objects_on(stack) for stack in catalogue.stacks)
    assert "another name or ID" in catalogue.skipped[0].reason


@pytest.mark.parametrize(
    "spoil",
    [
        lambda seg: seg.__delattr__("SegmentSequence"),
        lambda seg: setattr(seg, "PixelData", seg.PixelData[:7]),
        lambda seg: setattr(seg, "NumberOfFrames", 999),
        lambda seg: setattr(seg, "PerFrameFunctionalGroupsSequence", []),
    ],
)
def test_what_is_broken_is_named_and_takes_nothing_with_it(
    series: Path, tmp_path: Path, spoil: Callable[[pydicom.Dataset], None]
) -> None:
    voxels = np.ones((6, 10, 12, 1), np.uint8)
    good = by_highdicom(series, voxels, SegmentationTypeValues.BINARY, tmp_path / "good.dcm")
    bad = by_highdicom(series, voxels, SegmentationTypeValues.BINARY, tmp_path / "bad.dcm")
    seg = pydicom.dcmread(bad)
    spoil(seg)
    seg.save_as(bad)
    _, found = only(series, good, bad, scratch=tmp_path)
    shown: tuple[Finding, ...] = found.findings
    assert [finding.mask.count for finding in shown] == [6 * 10 * 12]
    assert len(found.notices) == 1
    assert found.notices[0].startswith("SEG")


def test_tiles_of_a_slide_are_named_as_not_shown(data: Path, tmp_path: Path) -> None:
    catalogue = scanned((data / "dicom" / "derived-objects" / "highdicom",), tmp_path)
    tiled = {Path(s.path).name for s in catalogue.skipped if "tiles of a slide" in s.reason}
    assert tiled == {p.name for p in (data / "dicom" / "derived-objects" / "highdicom").glob("seg_image_sm_*.dcm")}
