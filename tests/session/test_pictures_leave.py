"""Pictures that leave: the image beneath is the image, lines lie on outlines, series lie where their source lies."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from overread.dicom.export import Written, export
from overread.domain.errors import UserError
from overread.domain.finding import Code, Kind, Mask, Status
from overread.domain.geometry import acquired_plane
from overread.domain.heatmap import Heatmap
from overread.domain.measurement import Measurement, Shape, Value
from overread.domain.study import Stack, Window
from overread.render.overlay import COLOURS
from overread.session.pictures import key_slice
from overread.session.products import products
from support.findings import READER, finding, opened
from support.leaving import ball, faults, smooth, spoil
from support.series import changed, write_series

LENGTH, MM = Code("410668003", "SCT", "Length"), Code("mm", "UCUM", "millimeter")
REAL = [
    "glioma-fg6692/05_FLAIR_AX",
    "chest-ct-cptac",
    "ct-gantry-tilt",
    "multiframe/enhanced-mr-siemens-xa10/6_1.dcm",
    "codecs/wg04/US1_UNC.dcm",
    "chest-xray",
]


def leave(stack: Stack, out: Path, name: str, window: Window | None = None) -> list[Written]:
    return list(export(stack, smooth(stack), out, READER, products([name]), window=window))


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    """A small oblique series with a slope on each value."""
    voxels = (np.arange(7 * 90 * 120).reshape(7, 90, 120) % 900).astype(np.int16)
    orientation = (0.96, 0.28, 0.0, -0.168, 0.576, -0.8)
    write_series(
        tmp_path / "in",
        voxels,
        orientation=orientation,
        spacing=(0.9, 0.6),
        step=3.3,
        WindowCenter=400,
        WindowWidth=700,
    )
    return opened(tmp_path / "in", tmp_path)


# What others see


@pytest.mark.parametrize("name", REAL)
def test_series_of_pictures_lie_where_the_source_lies(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    written = leave(stack, tmp_path / "out", "sc-series")
    assert len(written) == stack.grid.shape[0]
    assert not faults(written[0].path, tool)
    where = [sitk.ReadImage(str(item.path)) for item in written]
    for k, image in enumerate(where):
        assert image.GetSize()[:2] == (stack.grid.shape[2], stack.grid.shape[1])
        if not stack.grid.oriented:
            continue
        origin = stack.grid.to_lps((k, 0, 0))
        between = {"gantry-tilt": 5.5, "variable-spacing": 0.1}  # a grid cannot follow uneven slices
        near = max((between.get(problem.code, 1e-3) for problem in stack.problems), default=1e-3)
        assert np.abs(np.array(image.GetOrigin()) - origin).max() < near
        assert np.allclose(image.GetSpacing()[:2], stack.grid.spacing[:0:-1], rtol=1e-6)
        turned = np.reshape(image.GetDirection(), (3, 3))[:, :2]
        assert np.abs(turned - stack.grid.directions[:, :0:-1]).max() < 1e-6
    # dcmtk reads the very pixels
    seen = _by_dcmtk(written[len(written) // 2].path, tmp_path, tool)
    assert np.array_equal(seen, pydicom.dcmread(written[len(written) // 2].path).pixel_array)


def _by_dcmtk(path: Path, folder: Path, tool: Callable[[str], str], *more: str) -> np.ndarray:
    target = folder / "seen.ppm"
    subprocess.run([tool("dcmj2pnm"), *more, str(path), str(target)], check=True, capture_output=True)
    picture = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture[..., ::-1] if picture.ndim == 3 else picture


@pytest.mark.parametrize("name", ["glioma-fg6692/05_FLAIR_AX", "chest-ct-cptac"])
def test_beneath_the_lines_lies_what_dcmtk_makes_of_the_source(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    window = Window(300.0, 900.0, "", "LINEAR")
    written = leave(stack, tmp_path / "out", "sc-series", window)
    for k in (0, stack.grid.shape[0] // 2):
        ours = pydicom.dcmread(written[k].path).pixel_array.astype(int)
        theirs = _by_dcmtk(Path(stack.frames[k].path), tmp_path, tool, "+Ww", "300", "900").astype(int)
        untouched = (ours[..., 0] == ours[..., 1]) & (ours[..., 1] == ours[..., 2])
        untouched[-24:] = False  # the sentence in the corner
        untouched &= np.abs(ours[..., 0] - theirs) <= 1
        assert untouched.mean() > (0.85 if k == 0 else 0.8)
        if k == 0:  # no finding there: all but the sentence
            assert untouched[:-24].all()


def test_lines_lie_on_the_outlines_and_say_by_their_colour_what_became_of_them(made: Stack, tmp_path: Path) -> None:
    accepted = finding(made, ball(made, (0.5, 0.5, 0.4), 0.2))
    written = export(made, [accepted], tmp_path / "out", READER, products(["sc-series"]))
    k = made.grid.shape[0] // 2
    picture = pydicom.dcmread(written[k].path).pixel_array
    teal = (np.abs(picture.astype(int) - COLOURS[Status.ACCEPTED]).sum(axis=2) < 60).astype(np.uint8)
    inside = accepted.mask.voxels[k].astype(np.uint8)
    edge = cv2.dilate(inside, np.ones((5, 5))) - cv2.erode(inside, np.ones((5, 5)))
    teal[: int(np.flatnonzero(inside.any(axis=1))[0]) - 2] = 0  # its name
    assert teal.sum() > 0.5 * np.count_nonzero(edge) / 5
    assert not teal[edge == 0].any()
    # nothing is filled
    core = cv2.erode(inside, np.ones((9, 9))).astype(bool)
    assert core.any()
    assert (np.ptp(picture[core].astype(int), axis=1) == 0).all()


def test_a_picture_for_each_finding_on_the_slice_with_its_largest_area(
    data: Path, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    stack = opened(data / "dicom" / "glioma-fg6692" / "05_FLAIR_AX", tmp_path / "scratch")
    findings = smooth(stack)
    voxels = findings[0].mask.voxels
    voxels[3, 50:150, 50:150] = True
    findings[0] = finding(stack, voxels)
    written = export(stack, findings, tmp_path / "out", READER, products(["sc"]))
    assert [item.kind for item in written] == ["SC"] * 3
    for item, meant in zip(written, findings, strict=True):
        capture = pydicom.dcmread(item.path)
        assert not faults(item.path, tool)
        k = int(meant.mask.voxels.sum(axis=(1, 2)).argmax())
        assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == stack.frames[k].sop_instance_uid
        assert (capture.ConversionType, capture.BurnedInAnnotation) == ("WSD", "YES")
        assert list(capture.ImageType) == ["DERIVED", "SECONDARY"]
        assert "not for diagnosis" in capture.DerivationDescription
        assert meant.title in capture.DerivationDescription
        for claim in ("ImagePositionPatient", "PixelSpacing", "FrameOfReferenceUID"):
            assert claim not in capture
        # small images are shown with each pixel repeated, and a caption beneath
        assert capture.Columns == 2 * stack.grid.shape[2]
        assert capture.Rows > 2 * stack.grid.shape[1]
        assert np.array_equal(_by_dcmtk(item.path, tmp_path, tool), capture.pixel_array)
    assert key_slice(findings[0], stack.grid) == 3


def test_pictures_of_other_shapes_and_colours(data: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    for name in ("codecs/wg04/US1_UNC.dcm", "chest-xray"):
        stack = opened(data / "dicom" / name, tmp_path / "scratch")
        written = leave(stack, tmp_path / name.replace("/", "-"), "sc")
        capture = pydicom.dcmread(written[0].path)
        assert not faults(written[0].path, tool)
        assert capture.get("LossyImageCompression", "00") == (
            pydicom.dcmread(stack.paths[0], stop_before_pixels=True).get("LossyImageCompression") or "00"
        )
        rows, columns = stack.grid.shape[1:]
        assert capture.pixel_array.shape[1] == max(columns, 360)
        if stack.encoding.samples == 3:
            source = pydicom.dcmread(stack.paths[0]).pixel_array
            same = (capture.pixel_array[:rows, :columns] == source).all(axis=2)
            assert same.mean() > 0.9, "colour is shown as it is"


def test_unequal_pixels_say_their_aspect(made: Stack, tmp_path: Path) -> None:
    capture = pydicom.dcmread(leave(made, tmp_path / "out", "sc")[0].path)
    vertical, horizontal = capture.PixelAspectRatio
    assert vertical / horizontal == pytest.approx(1.5)
    assert "PixelAspectRatio" not in pydicom.dcmread(leave(made, tmp_path / "two", "sc-series")[0].path)


def test_a_class_is_shown_with_its_heatmap_and_colour_bar(made: Stack, tmp_path: Path) -> None:
    values, plane = np.array([[0.0, 1.5], [0.0, 0.5]]), acquired_plane(made.grid)
    heat = Heatmap.of(values, (0, 0, 90, 120), plane, 2, "Pneumonia", "Grad-CAM", "l4")
    nothing = np.zeros(made.grid.shape, bool)
    about = {"kind": Kind.CLASSIFICATION, "score": 0.8, "threshold": 0.5, "measures": None, "mask": Mask.of(nothing)}
    seen = finding(made, nothing, label="Pneumonia", heatmap=heat, **about)
    elsewhere = finding(made, nothing, 2, **{**about, "heatmap": None})
    (path,) = {item.path for item in export(made, [seen], tmp_path / "out", READER, products(["sc"]))}
    picture = pydicom.dcmread(path).pixel_array
    assert picture.shape[1] > 4 * made.grid.shape[2], "a colour bar beside the image"
    coloured = np.ptp(picture[: 4 * 90, : 4 * 120].astype(int), axis=2)
    assert coloured[60:120, 300:420].mean() > 60 > 10 > coloured[240:300, 10:100].mean()
    with pytest.raises(UserError, match="image as a whole"):
        export(made, [elsewhere], tmp_path / "out", READER, products(["sc-series"]))


def test_what_was_measured_is_drawn_where_it_was_measured(made: Stack, tmp_path: Path) -> None:
    plane = acquired_plane(made.grid)
    made_on = Measurement(Shape.LENGTH, plane, 4, ((4.0, 20.0, 30.0), (4.0, 20.0, 90.0)), (Value(LENGTH, 36.0, MM),))
    about = {"kind": Kind.MEASUREMENT, "measurement": made_on, "measures": None, "score": None, "model": None}
    measured = finding(made, np.zeros(made.grid.shape, bool), label="Length", anatomy=None, **about)
    (item,) = export(made, [measured], tmp_path / "out", READER, products(["sc"]))
    capture = pydicom.dcmread(item.path)
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == made.frames[4].sop_instance_uid
    series = export(made, [measured], tmp_path / "out", READER, products(["sc-series"]))
    pictures = [pydicom.dcmread(slice_.path).pixel_array.astype(int) for slice_ in series]
    teal = [np.abs(picture - COLOURS[Status.ACCEPTED]).sum(axis=2) < 60 for picture in pictures]
    assert teal[4][20, 30:90].mean() > 0.9
    assert not any(there.any() for k, there in enumerate(teal) if k != 4)


def test_png_are_the_same_pictures_and_name_nobody(made: Stack, tmp_path: Path) -> None:
    captures, pictures = leave(made, tmp_path / "out", "sc"), leave(made, tmp_path / "out", "png")
    for capture, picture in zip(captures, pictures, strict=True):
        read = cv2.imread(str(picture.path))
        assert read is not None
        assert np.array_equal(read[..., ::-1], pydicom.dcmread(capture.path).pixel_array)
        assert picture.sop_instance_uid == ""
        assert b"TEST" not in picture.path.read_bytes()
        assert picture.path.name.startswith("PNG_001_MR_0")


def test_the_demo_study_leaves_as_a_series_of_pictures(demo: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    stack = opened(demo / "05_FLAIR_AX", tmp_path / "scratch")
    written = leave(stack, tmp_path / "out", "sc-series")
    assert not faults(written[9].path, tool)
    series = opened(tmp_path / "out", tmp_path / "scratch2")
    assert series.grid.same_as(stack.grid), "it is read as the same grid"
    assert not series.problems


# The gate


def flipped(image: Dataset) -> None:
    data = bytearray(image.PixelData)
    data[len(data) // 2] ^= 1
    image.PixelData = bytes(data)


WRONG: list[tuple[str, Callable[[Dataset], object], str]] = [
    ("sc", flipped, "pixels"),
    ("sc-series", flipped, "pixels"),
    ("sc", lambda image: setattr(image, "BurnedInAnnotation", "NO"), "burned in"),
    ("sc", lambda image: setattr(image, "PixelSpacing", [1, 1]), "pixel spacing"),
    ("sc", lambda image: setattr(image, "ImageType", ["ORIGINAL", "PRIMARY"]), "derived"),
    ("sc", lambda image: setattr(image, "PatientID", "X"), "PatientID"),
    ("sc", lambda image: setattr(image, "SeriesInstanceUID", f"1.2.{image.InstanceNumber}"), "one series"),
    ("sc-series", lambda image: setattr(image, "InstanceNumber", 1), "one number"),
    ("sc-series", lambda image: setattr(image, "ImagePositionPatient", [0, 0, 1]), "another place"),
    ("sc-series", lambda image: setattr(image, "ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "turned"),
    ("sc-series", lambda image: setattr(image, "PixelSpacing", [0.6, 0.9]), "pixel spacing"),
    ("sc-series", lambda image: setattr(image, "FrameOfReferenceUID", "1.2.3"), "frame of reference"),
    ("sc-series", lambda image: image.SourceImageSequence.clear(), "other images"),
]


@pytest.mark.parametrize(("name", "wrong", "reason"), WRONG)
def test_a_picture_that_went_wrong_does_not_leave(
    made: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    wrong: Callable[[Dataset], object],
    reason: str,
) -> None:
    spoil(monkeypatch, wrong)
    with pytest.raises(UserError, match=reason):
        leave(made, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_a_mark_of_lossy_compression_that_went_lost_is_noticed(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in made.paths:
        changed(Path(path), LossyImageCompression="01", LossyImageCompressionRatio="10")
    lossy = opened(tmp_path / "in", tmp_path)
    kept = pydicom.dcmread(leave(lossy, tmp_path / "out", "sc")[0].path)
    assert (kept.LossyImageCompression, kept.LossyImageCompressionRatio) == ("01", 10)
    spoil(monkeypatch, lambda image: setattr(image, "LossyImageCompression", "00"))
    with pytest.raises(UserError, match="compressed with loss"):
        leave(lossy, tmp_path / "two", "sc")


def test_a_png_that_went_wrong_does_not_leave(made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.write_bytes

    def cut(self: Path, data: bytes) -> int:
        return real(self, data[: len(data) // 2] if self.suffix == ".png" else data)

    monkeypatch.setattr(Path, "write_bytes", cut)
    with pytest.raises(UserError, match="cannot be read back"):
        leave(made, tmp_path / "out", "png")
    assert not (tmp_path / "out").exists()
