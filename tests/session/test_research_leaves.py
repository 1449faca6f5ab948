"""What leaves for research: label maps and surfaces lie where other software puts them, and name nobody."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from overread.dicom.export import Written, export
from overread.dicom.product import Parcel
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind
from overread.domain.study import Stack
from overread.session.products import products
from support.findings import READER, finding, opened
from support.leaving import smooth
from support.series import head_like, write_series

FORMATS = ["nifti", "nrrd"]


def leave(stack: Stack, findings: list[Finding], out: Path, name: str) -> list[Path]:
    written: list[Written] = list(export(stack, findings, out, READER, products([name])))
    assert all(item.sop_instance_uid == "" for item in written)
    return [item.path for item in written]


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    """A small oblique series with slices from feet to head and unequal spacing."""
    orientation = (0.96, 0.28, 0.0, -0.168, 0.576, -0.8)
    voxels = head_like((9, 40, 48))
    write_series(
        tmp_path / "in",
        voxels,
        orientation=orientation,
        spacing=(0.9, 0.6),
        step=3.3,
        patient=("TOPSECRET^ONE", "TOPSECRET"),
        description="TOPSECRET FLAIR",
    )
    return opened(tmp_path / "in", tmp_path)


# Volumes

REAL = [
    "glioma-fg6692/05_FLAIR_AX",
    "chest-ct-cptac",
    "brain-mr-oblique",
    "multiframe/enhanced-mr-philips-fieldmap",
]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("form", FORMATS)
def test_label_maps_lie_on_the_images_as_simpleitk_reads_them(data: Path, tmp_path: Path, name: str, form: str) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = smooth(stack, apart=True)
    (path, _) = leave(stack, findings, tmp_path / "out", form)
    labels = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayFromImage(labels)
    for number, meant in enumerate(findings, start=1):
        assert np.array_equal(voxels == number, meant.mask.voxels)
    folder = data / "dicom" / name
    if name.startswith("multiframe"):
        return  # GDCM makes another volume of two images in one file
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    for k, j, i in [(0, 0, 0), *(tuple(int(n) for n in np.argwhere(f.mask.voxels)[0]) for f in findings)]:
        there = image.TransformPhysicalPointToContinuousIndex(labels.TransformIndexToPhysicalPoint((i, j, k)))
        # GDCM may count slices from the other end; its affine is that of a mean spacing where steps are uneven
        slices = (k, labels.GetSize()[2] - 1 - k)
        assert min(abs(there[2] - at) for at in slices) < 0.05
        assert np.abs(np.array(there[:2]) - (i, j)).max() < 0.01


def test_the_affine_in_nifti_is_ras(made: Stack, tmp_path: Path) -> None:
    (path, _) = leave(made, smooth(made, apart=True), tmp_path / "out", "nifti")
    head = gzip.decompress(path.read_bytes())[:348]
    (qform, sform) = struct.unpack_from("<2h", head, 252)
    assert qform > 0
    assert sform > 0
    rows = np.array(struct.unpack_from("<12f", head, 280)).reshape(3, 4)
    ours = made.grid.affine[:3][:, [2, 1, 0, 3]] * np.array([[-1], [-1], [1]])
    assert np.abs(rows - ours).max() < 1e-4
    assert struct.unpack_from("<3h", head, 42) == made.grid.shape[::-1]
    assert head[123] & 7 == 2, "millimetres"


def test_slicer_finds_names_colours_and_codes(made: Stack, tmp_path: Path) -> None:
    findings = smooth(made, apart=True)
    (path, _) = leave(made, findings, tmp_path / "out", "nrrd")
    assert path.name.endswith(".seg.nrrd")
    lines = path.read_bytes().split(b"\n\n")[0].decode().splitlines()
    assert "space: left-posterior-superior" in lines
    said = dict(line.split(":=", 1) for line in lines if ":=" in line)
    assert [said[f"Segment{at}_Name"] for at in range(3)] == ["Glioma 1", "Glioma 2", "Läsion 3"]
    assert [said[f"Segment{at}_LabelValue"] for at in range(3)] == ["1", "2", "3"]
    assert np.allclose([float(part) for part in said["Segment0_Color"].split()], (0xF5 / 255, 0xB8 / 255, 0x3D / 255))
    assert "SCT^108369006^Neoplasm~^^~Anatomic codes" in said["Segment0_Tags"]
    (k, j, i), extent = findings[1].mask.start, findings[1].mask.extent
    ends = (i, i + extent[2] - 1, j, j + extent[1] - 1, k, k + extent[0] - 1)
    assert tuple(int(part) for part in said["Segment1_Extent"].split()) == ends


@pytest.mark.parametrize("form", FORMATS)
def test_findings_that_overlap_get_a_file_each(made: Stack, tmp_path: Path, form: str) -> None:
    findings = smooth(made)
    *volumes, legend = leave(made, findings, tmp_path / "out", form)
    assert len(volumes) == 3
    labels = json.loads(legend.read_text("utf-8"))["labels"]
    for path, meant, said in zip(volumes, findings, labels, strict=True):
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))) == 1, meant.mask.voxels)
        assert (said["file"], said["value"], said["name"]) == (path.name, 1, meant.title)
        assert said["tracking_uid"] == meant.id
        assert said["voxels"] == meant.mask.count


def test_the_image_itself_can_leave(made: Stack, data: Path, tmp_path: Path) -> None:
    (path,) = leave(made, smooth(made), tmp_path / "out", "nifti-image")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), head_like((9, 40, 48)))
    ct = opened(data / "dicom" / "chest-ct-cptac", tmp_path / "scratch")
    (path,) = leave(ct, smooth(ct), tmp_path / "ct", "nifti-image")
    image = sitk.ReadImage(str(path))
    source = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(data / "dicom" / "chest-ct-cptac")))
    theirs = sitk.GetArrayFromImage(source)
    ours = sitk.GetArrayFromImage(image)
    assert np.array_equal(ours, theirs) or np.array_equal(ours, theirs[::-1]), "Hounsfield units"


def test_pictures_without_a_place_give_label_maps_in_pixels(data: Path, tmp_path: Path) -> None:
    for name in ("chest-xray", "codecs/wg04/US1_UNC.dcm"):
        stack = opened(data / "dicom" / name, tmp_path / "scratch")
        out = tmp_path / stack.uid
        (path, legend) = leave(stack, smooth(stack, apart=True), out, "nifti")
        assert sitk.ReadImage(str(path)).GetSize() == stack.grid.shape[::-1]
        assert json.loads(legend.read_text("utf-8"))["grid"]["oriented"] is False
        with pytest.raises(UserError, match="Millimetres do not hold"):
            leave(stack, smooth(stack), out, "stl")


def test_what_formats_would_draw_as_another_body_does_not_leave(data: Path, tmp_path: Path) -> None:
    tilted = opened(data / "dicom" / "ct-gantry-tilt", tmp_path / "scratch")
    for form, why in (
        ("nifti", "sheared by a tilted"),
        ("nrrd", "resampled"),
        ("stl", "Millimetres"),
        ("obj", "Millimetres"),
    ):
        with pytest.raises(UserError, match=why):
            leave(tilted, smooth(tilted), tmp_path / "out", form)
    positions = [(0.0, 0.0, z) for z in (0, 3, 6, 15, 18)]
    write_series(tmp_path / "gap", head_like((5, 20, 20)), positions=positions)
    gap = opened(tmp_path / "gap", tmp_path)
    with pytest.raises(UserError, match="even grid"):
        leave(gap, smooth(gap), tmp_path / "out", "nifti")
    nothing = np.zeros(gap.grid.shape, bool)
    about = finding(gap, nothing, kind=Kind.CLASSIFICATION, score=0.8, threshold=0.5, measures=None)
    with pytest.raises(UserError, match="no outline"):
        leave(gap, [about], tmp_path / "out", "nifti")


# Surfaces


@pytest.mark.parametrize("form", ["stl", "obj"])
def test_surfaces_lie_around_the_voxels_in_the_patient(made: Stack, tmp_path: Path, form: str) -> None:
    findings = smooth(made)
    *paths, legend = leave(made, findings, tmp_path / "out", form)
    said = json.loads(legend.read_text("utf-8"))["labels"]
    assert [entry["file"] for entry in said] == [path.name for path in paths]
    for path, meant in zip(paths, findings, strict=True):
        if form == "stl":
            data = np.frombuffer(path.read_bytes()[84:], np.dtype([("f", "<f4", (4, 3)), ("n", "<u2")]))
            triangles = data["f"][:, 1:].astype(float)
            normals = data["f"][:, 0]
            across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
            assert (np.einsum("nx,nx->n", normals, across) >= -1e-6).all()
        else:
            words = [line.split() for line in path.read_text().splitlines()]
            points = np.array([[float(n) for n in word[1:4]] for word in words if word[:1] == ["v"]])
            corners = [[int(n.split("/")[0]) - 1 for n in word[1:4]] for word in words if word[:1] == ["f"]]
            triangles = points[np.array(corners)]
            across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        volume = np.einsum("nx,nx->", triangles.mean(axis=1) - triangles.mean(axis=(0, 1)), across) / 6
        assert volume == pytest.approx(meant.mask.count * made.grid.voxel_mm3, rel=5e-3)
        index = made.grid.to_index(triangles.reshape(-1, 3))
        start, extent = np.array(meant.mask.start), np.array(meant.mask.extent)
        assert (index > start - 1.5).all()
        assert (index < start + extent + 0.5).all()
        assert np.abs(index.mean(axis=0) - np.argwhere(meant.mask.voxels).mean(axis=0)).max() < 0.5


# Nobody is named, nothing wrong leaves


@pytest.mark.parametrize("form", ["nifti", "nifti-image", "nrrd", "stl", "obj"])
def test_nobody_is_named(made: Stack, tmp_path: Path, form: str) -> None:
    for path in leave(made, smooth(made), tmp_path / "out", form):
        held = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert b"TOPSECRET" not in held
        assert made.identity.study_uid.encode() not in held
        assert "TOPSECRET" not in path.name
        assert path.name.split("_")[1:3] == ["001", "MR"]


def test_the_demo_study_leaves_for_research(demo: Path, tmp_path: Path) -> None:
    stack = opened(demo / "05_FLAIR_AX", tmp_path / "scratch")
    written = export(
        stack, smooth(stack, apart=True), tmp_path / "out", READER, products(["nifti", "nrrd", "stl", "obj"])
    )
    assert [item.kind for item in written] == ["NIFTI"] * 2 + ["NRRD"] * 2 + ["STL"] * 4 + ["OBJ"] * 4


SPOILT = ["nifti", "nifti-image", "nrrd", "stl", "obj"]


@pytest.mark.parametrize("form", SPOILT)
@pytest.mark.parametrize("how", ["cut", "another"])
def test_a_file_that_went_wrong_does_not_leave(made: Stack, tmp_path: Path, form: str, how: str) -> None:
    (product,) = products([form])
    other = leave(made, [finding(made, np.ones(made.grid.shape, bool))], tmp_path / "other", form)[0].read_bytes()
    if form == "nifti-image":
        changed = sitk.ReadImage(str(tmp_path / "other" / next((tmp_path / "other").iterdir()).name))
        sitk.WriteImage(changed + 1, str(tmp_path / "x.nii.gz"))
        other = (tmp_path / "x.nii.gz").read_bytes()
    spoilt = _spoilt(product.write, lambda data: data[: len(data) // 2] if how == "cut" else other)
    with pytest.raises(UserError, match="failed the check before export"):
        export(made, smooth(made), tmp_path / "out", READER, [replace(product, write=spoilt)])
    assert not (tmp_path / "out").exists()


def _spoilt(
    write: Callable[[Parcel], Sequence[Path]], change: Callable[[bytes], bytes]
) -> Callable[[Parcel], Sequence[Path]]:
    def writing(parcel: Parcel) -> Sequence[Path]:
        paths = write(parcel)
        paths[0].write_bytes(change(paths[0].read_bytes()))
        return paths

    return writing


def test_a_legend_that_says_something_else_is_noticed(made: Stack, tmp_path: Path) -> None:
    (product,) = products(["nifti"])

    def other(parcel: Parcel) -> list[Path]:
        paths = list(product.write(parcel))
        paths[-1].write_text(paths[-1].read_text("utf-8").replace("Läsion", "Zyste").replace("L\\u00e4sion", "Zyste"))
        return paths

    with pytest.raises(UserError, match="table of labels"):
        export(made, smooth(made), tmp_path / "out", READER, [replace(product, write=other)])
