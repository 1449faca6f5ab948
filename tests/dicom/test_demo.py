"""The demo study on disk: right, honest, whole or not there at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from overread.dicom import demo
from overread.dicom.demo import FLAIR, SERIES, DemoSeries, demo_truth, ensure_demo
from overread.dicom.scan import scanned
from overread.imaging.phantom import ABNORMAL, Head, make_head
from overread.imaging.phantom_atlas import Tissue
from overread.imaging.phantom_mr import slabs

T2, _, T1, _ = SERIES
ROLES = ["T2", "FLAIR", "T1", "T1C"]


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "make_head", lambda: head)
        return ensure_demo(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def stored(study: Path) -> dict[int, NDArray[np.uint16]]:
    """Stored values of each series by its number, (k, j, i), sorted by position."""
    return {series.number: sitk.GetArrayFromImage(read(study, series)) for series in SERIES}


def read(study: Path, series: DemoSeries) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(study / series.folder))
    reader.SetFileNames(names)
    return reader.Execute()


def files(study: Path) -> dict[str, bytes]:
    return {str(path.relative_to(study)): path.read_bytes() for path in sorted(study.rglob("*.dcm"))}


@pytest.mark.parametrize("series", SERIES, ids=lambda s: s.folder)
def test_another_reader_sees_the_geometry(study: Path, series: DemoSeries) -> None:
    image, grid = read(study, series), series.scan.grid
    assert image.GetSize() == grid.shape[::-1]
    assert np.allclose(image.GetSpacing(), grid.spacing[::-1], atol=1e-6)
    assert np.allclose(image.GetOrigin(), grid.origin, atol=1e-6)
    assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), grid.directions[:, ::-1], atol=1e-6)
    oblique = np.degrees(np.arccos(grid.directions[2, 0]))
    assert 8 < oblique < 14


def test_product_reads_four_sound_series(study: Path, tmp_path: Path) -> None:
    catalogue = scanned((study,), tmp_path)
    stacks = sorted(catalogue.stacks, key=lambda stack: ROLES.index(stack.role))
    assert [stack.role for stack in stacks] == ROLES
    assert not catalogue.skipped
    for stack, series in zip(stacks, SERIES, strict=True):
        assert stack.problems == ()
        assert stack.grid.same_as(series.scan.grid)


def test_one_series_is_numbered_against_its_position(study: Path) -> None:
    for series in SERIES:
        images = [pydicom.dcmread(path, stop_before_pixels=True) for path in (study / series.folder).iterdir()]
        images.sort(key=lambda image: int(image.InstanceNumber))
        heights = [float(image.ImagePositionPatient[2]) for image in images]
        assert heights == sorted(heights, reverse=series.from_above)
    assert sum(series.from_above for series in SERIES) == 1


def test_headers_say_what_it_is(study: Path) -> None:
    uids = set()
    frames = set()
    for path in study.rglob("*.dcm"):
        image = pydicom.dcmread(path)
        uids.add(image.SOPInstanceUID)
        frames.add((image.FrameOfReferenceUID, image.StudyInstanceUID))
        assert image.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert str(image.PatientName) == "DEMO^SYNTHETIC"
        assert image.PatientID == "OVERREAD-DEMO"
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert "No patient" in image.ImageComments
        assert "synthetic" in image.SeriesDescription
        for element in image.iterall():
            if element.VR == "DS":
                values = (
                    element.value if isinstance(element.value, list | pydicom.multival.MultiValue) else [element.value]
                )
                assert all(len(str(value)) <= 16 for value in values)
            if element.VR == "UI" and element.keyword.endswith("InstanceUID"):
                assert re.fullmatch(r"2\.25\.\d{1,39}", element.value)
    assert len(uids) == sum(series.scan.grid.shape[0] for series in SERIES)
    assert len(frames) == 1


def test_validator_finds_no_error(study: Path, tool: Callable[[str], str]) -> None:
    validator = tool("dciodvfy")
    for path in sorted(study.rglob("*.dcm")):
        done = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
        errors = re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE)
        # Synthetic Data (0008,001C) is younger than the validators that distributions carry.
        assert not [error for error in errors if "(0x0008,0x001c)" not in error], path.name


@pytest.fixture(scope="module")
def looks(stored: dict[int, NDArray[np.uint16]], head: Head) -> list[dict[str, float]]:
    """Of each series the median stored value of voxels that are nearly all of one tissue."""
    groups = {tissue.name: (tissue,) for tissue in Tissue} | {"LESION": ABNORMAL}
    out: list[dict[str, float]] = [{} for _ in SERIES]
    for name in ("WHITE", "GREY", "CSF", "FAT", "RIM", "LESION"):
        tissue = np.isin(head.labels, groups[name]).astype(np.float32)
        shares = {grid: slabs(tissue, head.grid, grid, 4.4) for grid in {series.scan.grid for series in SERIES}}
        for look, series in zip(out, SERIES, strict=True):
            pure = shares[series.scan.grid] > (0.7 if name == "RIM" else 0.95)
            look[name] = float(np.median(stored[series.number][pure]))
    return out


def test_tissues_look_as_they_do_on_a_scanner(
    looks: list[dict[str, float]], stored: dict[int, NDArray[np.uint16]]
) -> None:
    t2, flair, t1, t1c = looks
    assert t2["CSF"] > t2["LESION"] > t2["GREY"] > t2["WHITE"]
    assert flair["FAT"] > flair["LESION"] > flair["GREY"] > flair["WHITE"] > flair["CSF"]
    assert t1["FAT"] > t1["WHITE"] > t1["GREY"] > t1["CSF"]
    # Ratios to white matter within those of a clinical scanner.
    assert 1.3 < flair["LESION"] / flair["WHITE"] < 2.0
    assert 1.1 < flair["GREY"] / flair["WHITE"] < 1.35
    assert 1.25 < t2["GREY"] / t2["WHITE"] < 1.6
    assert 0.65 < t1["GREY"] / t1["WHITE"] < 0.85
    assert t1["RIM"] < t1["WHITE"]
    assert t1c["RIM"] > 1.4 * t1c["WHITE"]
    for voxels in stored.values():
        assert voxels.min() < 10
        assert 500 < voxels.max() < 1500


def test_truth_is_the_bright_part_of_the_flair_series(
    looks: list[dict[str, float]], stored: dict[int, NDArray[np.uint16]], head: Head
) -> None:
    mask, grid = demo_truth(head)
    assert grid.same_as(FLAIR.scan.grid)
    assert mask.shape == stored[FLAIR.number].shape
    assert 25 < mask.sum() * grid.voxel_mm3 / 1000 < 45
    voxels = stored[FLAIR.number]
    assert (voxels[mask] > 1.15 * looks[1]["WHITE"]).mean() > 0.9


def test_series_on_two_grids_show_the_same_head(study: Path) -> None:
    first, second = read(study, T2), read(study, T1)
    onto = sitk.Resample(second, first, sitk.Transform(), sitk.sitkLinear)
    a, b = sitk.GetArrayFromImage(first) > 100, sitk.GetArrayFromImage(onto) > 100
    a, b = a[3:-3], b[3:-3]
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


def test_interrupted_writing_leaves_nothing_and_the_next_call_repairs(
    study: Path, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "make_head", lambda: head)
    real = demo.acquire

    def full_disk(*args: object) -> NDArray[np.uint16]:
        raise OSError("no space left")

    calls = iter([real, full_disk])
    with monkeypatch.context() as patch:
        patch.setattr(demo, "acquire", lambda *args: next(calls)(*args))
        with pytest.raises(OSError, match="no space"):
            ensure_demo(tmp_path)
    assert list(tmp_path.iterdir()) == []

    # A killed run leaves its scratch folder; a folder without its marker is no study.
    killed = tmp_path / ".demo-killed"
    (killed / "new").mkdir(parents=True)
    os.utime(killed, (0, 0))
    half = tmp_path / "demo" / "study" / T1.folder
    half.mkdir(parents=True)
    (half / "001.dcm").write_bytes(b"half")
    assert ensure_demo(tmp_path) == tmp_path / "demo" / "study"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert files(tmp_path / "demo" / "study") == files(study)  # byte for byte


def test_finished_study_is_not_written_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: Path) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr(demo, "_write", never)
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    assert ensure_demo(study.parent.parent) == study
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


@pytest.mark.parametrize("damage", ["version", "file"])
def test_another_version_or_a_lost_file_is_written_anew(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    shutil.copytree(study.parent, tmp_path / "demo")
    if damage == "version":
        (tmp_path / "demo" / "VERSION").write_text("0\n", encoding="ascii")
    else:
        next((tmp_path / "demo" / "study").rglob("*.dcm")).unlink()
    monkeypatch.setattr(demo, "_write", lambda home: shutil.copytree(study.parent, home))
    again = ensure_demo(tmp_path)
    assert files(again) == files(study)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_another_run_that_finished_first_is_as_good(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(home: Path) -> None:
        shutil.copytree(study.parent, home)
        shutil.copytree(study.parent, tmp_path / "demo")

    monkeypatch.setattr(demo, "_write", slow)
    assert files(ensure_demo(tmp_path)) == files(study)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
