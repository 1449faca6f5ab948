"""Slices sheared by a tilted gantry: refused, or resampled onto an upright grid where the reader agrees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.export import Terms, Written, export
from overread.dicom.groups import COMMENT
from overread.dicom.load import loaded
from overread.dicom.product import Product, planned
from overread.dicom.source import source_headers
from overread.dicom.sr_items import concept, walk
from overread.dicom.upright import SAID, laid
from overread.dicom.upright import planned as upright_of
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Status
from overread.domain.probability import Probabilities
from overread.domain.study import Stack
from overread.imaging.upright import straightened
from overread.session.products import PRODUCTS, products
from support.findings import READER, finding, opened
from support.leaving import ball, faults, spoil
from support.series import write_series

AGREED = Terms(resample=True)
KINDS = ["seg", "labelmap", "fractional", "sr", "rtstruct", "fused", "nifti", "nifti-image", "nrrd"]
# The scanner's table goes 3 mm at a time, and the slices lean by 20°.
STEP, LEAN = 3.0, 3.0 * np.tan(np.radians(20))
MIDDLE, RADIUS = np.array([20.0, 26.0, 21.0]), 11.0


def head(where: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth head at LPS mm, shape (…, 3): what any scanner would see of it."""
    away = np.linalg.norm(where - MIDDLE, axis=-1)
    return np.asarray(1000 / (1 + np.exp((away - 18) / 2)) + 3 * where[..., 0])


def tilted(folder: Path, heights: NDArray[np.float64] | None = None, **more: Any) -> Stack:
    """A CT of that head with its slices sheared towards the front, as even as `heights` are."""
    heights = np.arange(15) * STEP if heights is None else heights
    places = [(0.0, float(z * LEAN / STEP), float(z)) for z in heights]
    row, column = np.indices((44, 48))
    where = np.array([np.stack([x + column, y + row, np.full_like(row, z)], -1) for x, y, z in places], float)
    stored = np.rint(head(where)).astype(np.int16)
    write_series(folder, stored, positions=places, modality="CT", series_number=4, **more)
    return opened(folder, folder.parent / "scratch")


def inside(stack: Stack) -> NDArray[np.bool_]:
    """The voxels of a ball, each by where it lies in the patient."""
    places = np.array(source_headers(stack).positions)
    within = np.stack(np.indices(stack.grid.shape[1:]), -1) @ stack.grid.affine[:3, 1:3].T
    return np.asarray(np.linalg.norm(places[:, None, None] + within - MIDDLE, axis=-1) < RADIUS)


def said(stack: Stack) -> list[Finding]:
    ballish = inside(stack)
    sure = finding(stack, ballish)
    sure = replace(
        sure, probabilities=Probabilities.of(sure.mask.inner * np.uint8(200), sure.mask.start, sure.mask.shape)
    )
    return [sure, finding(stack, ball(stack, (0.6, 0.5, 0.6), 0.1), 2, status=Status.EDITED)]


def leave(stack: Stack, folder: Path, names: list[str], terms: Terms = AGREED) -> dict[str, list[Written]]:
    found: dict[str, list[Written]] = {}
    for item in export(stack, said(stack), folder, READER, products(names), terms):
        found.setdefault(item.kind.lower(), []).append(item)
    return found


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    return tilted(tmp_path / "in")


def test_without_consent_one_sentence_says_what_to_do(made: Stack, tmp_path: Path) -> None:
    for name in (kind for kind in KINDS if kind != "sr"):
        with pytest.raises(UserError, match=r"sheared by a tilted gantry.*--resample"):
            export(made, said(made), tmp_path / "out", READER, products([name]))
    (report,) = export(made, said(made), tmp_path / "out", READER, products(["seg", "sr"]))
    assert report.kind == "SR"
    assert report.remark.startswith("Not written: Segmentation (SEG). Its slices are sheared by a tilted gantry")


def test_with_consent_every_kind_lies_on_the_derived_series(
    made: Stack, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    left = leave(made, tmp_path / "out", KINDS)
    assert set(left) == {*KINDS, "upright"}
    for kind in ("upright", "seg", "fractional", "sr", "rtstruct"):
        assert not faults(left[kind][0].path, tool), kind
    stack = opened_from(left["upright"], tmp_path)
    assert stack.grid.same_as(upright_of(source_headers(made)).grid, 1e-3)
    assert not stack.problems
    series = stack.identity.series_uid
    for kind in ("seg", "labelmap", "fractional"):
        (of,) = pydicom.dcmread(left[kind][0].path).ReferencedSeriesSequence
        assert of.SeriesInstanceUID == series
    structure = pydicom.dcmread(left["rtstruct"][0].path).ReferencedFrameOfReferenceSequence[0]
    assert structure.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID == series
    acquired = {frame.sop_instance_uid for frame in made.frames}
    for item in left["upright"]:
        image = pydicom.dcmread(item.path)
        assert {source.ReferencedSOPInstanceUID for source in image.SourceImageSequence} <= acquired
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert image.FrameOfReferenceUID == made.identity.frame_of_reference_uid
    assert SAID in left["csv" if "csv" in left else "nrrd"][-1].remark


def opened_from(items: list[Written], tmp_path: Path) -> Stack:
    folder = tmp_path / "again"
    folder.mkdir(exist_ok=True)
    for item in items:
        (folder / item.path.name).write_bytes(item.path.read_bytes())
    return opened(folder, tmp_path / "scratch")


def test_dcmqi_and_highdicom_read_the_voxels_that_were_laid(made: Stack, tmp_path: Path) -> None:
    left = leave(made, tmp_path / "out", ["seg"])
    stack, how = opened_from(left["upright"], tmp_path), upright_of(source_headers(made))
    meant = [laid(one, how, stack).mask.voxels for one in said(made)]
    (item,) = left["seg"]
    (tmp_path / "dcmqi").mkdir()
    reader = Path(sys.executable).with_name("segimage2itkimage")
    command = [str(reader), "--inputDICOM", str(item.path), "--outputDirectory", str(tmp_path / "dcmqi"), "-t", "nrrd"]
    subprocess.run(command, capture_output=True, check=True)
    seen = [np.zeros(stack.grid.shape, bool) for _ in meant]
    for path in sorted((tmp_path / "dcmqi").glob("*.nrrd")):
        image = sitk.ReadImage(str(path))
        assert np.allclose(stack.grid.to_index(image.TransformIndexToPhysicalPoint((0, 0, 0))), 0, atol=1e-3)
        for number, voxels in enumerate(seen, start=1):
            voxels |= sitk.GetArrayFromImage(image) == number
    assert all(np.array_equal(a, b) for a, b in zip(seen, meant, strict=True))
    seg = hd.seg.segread(item.path)
    uids = [frame.sop_instance_uid for frame in stack.frames]
    for number, voxels in enumerate(meant, start=1):
        assert np.array_equal(seg.get_pixels_by_source_instance(uids, [number])[..., 0] > 0, voxels)


def test_a_ball_keeps_its_volume_and_its_place(made: Stack) -> None:
    how = upright_of(source_headers(made))
    ballish = finding(made, inside(made))
    on = laid(ballish, how, made)
    assert on.mask.count == ballish.mask.count
    assert np.isclose(how.grid.voxel_mm3, made.grid.voxel_mm3, rtol=1e-9)
    assert on.measures == ballish.measures
    away = how.grid.to_lps(np.argwhere(on.mask.voxels)) - MIDDLE
    assert np.abs(away.mean(axis=0)).max() < 0.25  # of a pixel of 1 mm
    assert np.linalg.norm(away, axis=1).max() < RADIUS + 0.51
    exact = np.linalg.norm(how.grid.to_lps(np.moveaxis(np.indices(how.grid.shape), 0, -1)) - MIDDLE, axis=-1) < RADIUS
    both = 2 * (exact & on.mask.voxels).sum() / (exact.sum() + on.mask.count)
    assert both > 0.96
    sheared = 2 * (exact[:, :44] & ballish.mask.voxels).sum() / (exact.sum() + ballish.mask.count)
    assert sheared < 0.8  # what a reader of upright grids would have drawn


def test_the_image_is_what_an_upright_scanner_would_have_seen(made: Stack, tmp_path: Path) -> None:
    left = leave(made, tmp_path / "out", ["seg"])
    stack = opened_from(left["upright"], tmp_path)
    volume = loaded(stack)
    truth = head(stack.grid.to_lps(np.moveaxis(np.indices(stack.grid.shape), 0, -1)))
    source = made.grid.to_index(stack.grid.to_lps(np.moveaxis(np.indices(stack.grid.shape), 0, -1)))
    held = ((source >= 0) & (source <= np.array(made.grid.shape) - 1)).all(axis=-1)
    held &= source[..., 0] % 1 < 1e-6
    assert held.mean() > 0.4
    assert np.abs(volume.voxels - truth)[held].max() < 12  # of 1000: linear between pixels of 1 mm
    assert (volume.voxels[~inside_rows(made, stack)] == loaded(made).voxels.min()).all()


def inside_rows(made: Stack, stack: Stack) -> NDArray[np.bool_]:
    """The pixels of the upright grid over which the acquired slices lie."""
    at = made.grid.to_index(stack.grid.to_lps(np.moveaxis(np.indices(stack.grid.shape), 0, -1)))
    return np.asarray(((at[..., 1:] > -0.5) & (at[..., 1:] < np.array(made.grid.shape[1:]) - 0.5)).all(axis=-1))


def test_uneven_slices_become_even_ones(tmp_path: Path, data: Path) -> None:
    heights = np.array([0.0, 3.0, 6.0, 9.0, 12.0, 13.5, 18.0, 24.0, 30.0, 36.0, 42.0])
    stack = tilted(tmp_path / "in", heights)
    left = leave(stack, tmp_path / "out", ["seg", "rtstruct", "nifti"])
    onto = opened_from(left["upright"], tmp_path)
    assert not onto.problems
    assert len(onto.frames) == 29
    assert np.isclose(onto.grid.spacing[0], 1.5)
    sources = [len(pydicom.dcmread(item.path).SourceImageSequence) for item in left["upright"]]
    assert set(sources) == {2}
    real = opened(data / "dicom" / "ct-gantry-tilt", tmp_path / "scratch")
    kinds = [
        item.kind
        for item in export(
            real,
            [finding(real, ball(real, (0.5, 0.3, 0.3), 0.12))],
            tmp_path / "real",
            READER,
            products(["seg", "rtstruct", "fused"]),
            AGREED,
        )
    ]
    assert set(kinds) == {"UPRIGHT", "SEG", "RTSTRUCT", "FUSED"}


def test_padding_stays_padding(tmp_path: Path) -> None:
    stack = tilted(tmp_path / "in", PixelPaddingValue=-2000)
    for path in stack.paths:
        image = pydicom.dcmread(path)
        pixels = image.pixel_array.copy()
        pixels[:6], pixels[:, :4] = -2000, -2000
        image.PixelData = pixels.tobytes()
        image.save_as(path)
    stack = opened(tmp_path / "in", tmp_path / "scratch")
    onto = opened_from(leave(stack, tmp_path / "out", ["seg"])["upright"], tmp_path)
    values = loaded(onto).voxels
    assert values.min() == -2000
    assert not ((values > -2000) & (values < 0)).any()  # nothing between the two


def test_what_cannot_be_resampled_says_why(tmp_path: Path) -> None:
    gap = tilted(tmp_path / "gap", np.array([0.0, 3.0, 6.0, 15.0, 18.0]))
    for terms in (AGREED, Terms()):
        with pytest.raises(UserError, match=r"cannot be resampled\. 2 slices are missing"):
            export(
                gap, [finding(gap, ball(gap, (0.5, 0.5, 0.5), 0.2))], tmp_path / "out", READER, products(["seg"]), terms
            )
    stack = tilted(tmp_path / "in")
    solid = np.zeros(stack.grid.shape, bool)
    solid[2:4, 3:9, 4:9] = True
    box = finding(stack, solid, kind=Kind.DETECTION, box=(2, 3, 4, 4, 9, 9), measures=None)
    with pytest.raises(UserError, match="a box on sheared slices"):
        export(stack, [box], tmp_path / "out", READER, products(["rtstruct"]), AGREED)


def test_who_needs_an_upright_grid_is_asked_and_others_are_not(made: Stack) -> None:
    found = said(made)
    straight = {product.name for product in PRODUCTS if product.straight}
    assert straight == set(KINDS) - {"sr"}
    for resample in (False, True):
        plan = planned(made, found, PRODUCTS, resample=resample)
        carried = {product.name for product, _ in plan.carried}
        assert carried & straight == (straight if resample else set())
        assert {"sr", "gsps", "sc", "pdf", "stl"} <= carried
    assert straightened(made.grid).spacing[0] == pytest.approx(STEP)


def test_the_report_says_that_its_segmentation_was_resampled(made: Stack, tmp_path: Path) -> None:
    left = leave(made, tmp_path / "both", ["seg", "sr"])
    report = pydicom.dcmread(left["sr"][0].path)
    assert [SAID in str(item.get("TextValue")) for item in walk(report) if concept(item) == COMMENT.value] == [True] * 2
    alone = leave(made, tmp_path / "alone", ["sr"])
    assert COMMENT.value not in [concept(item) for item in walk(pydicom.dcmread(alone["sr"][0].path))]


def shifted(image: Dataset) -> None:
    if image.Modality == "CT":
        image.ImagePositionPatient = [5, 0, float(image.ImagePositionPatient[2])]


def brighter(image: Dataset) -> None:
    if image.Modality == "CT":
        image.PixelData = (image.pixel_array + 1).astype("<i2").tobytes()


@pytest.mark.parametrize(("wrong", "why"), [(shifted, "something else"), (brighter, "pixels")])
def test_a_spoilt_series_never_leaves(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Dataset], object], why: str
) -> None:
    spoil(monkeypatch, wrong)
    with pytest.raises(UserError, match=why):
        leave(made, tmp_path / "out", ["seg"])
    assert not (tmp_path / "out").exists()


def test_outlines_laid_elsewhere_never_leave(made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from overread.dicom import check_upright

    def elsewhere(one: Finding, *given: Any) -> Finding:
        on = laid(one, *given)
        return replace(on, mask=replace(on.mask, start=(on.mask.start[0], on.mask.start[1] + 1, on.mask.start[2])))

    monkeypatch.setattr(check_upright, "laid", elsewhere)
    with pytest.raises(UserError, match="lies elsewhere"):
        leave(made, tmp_path / "out", ["seg"])


def test_products_that_need_no_grid_are_the_same_with_consent(made: Stack, tmp_path: Path) -> None:
    kinds: list[Product] = list(products(["sr", "sc"]))
    written = export(made, said(made), tmp_path / "out", READER, kinds, AGREED)
    assert {item.kind for item in written} == {"SR", "SC"}
