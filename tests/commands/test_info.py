"""`overread info`: whose images, where, which voxels. pydicom and SimpleITK are the judges."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from support.series import head_like, write_series

STACK = {
    "shape",
    "spacing_mm",
    "origin_mm",
    "direction",
    "dtype",
    "slope",
    "intercept",
    "transfer_syntax",
    "frames",
    "problems",
}


def stacks_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    series = [s for patient in answer["patients"] for study in patient["studies"] for s in study["series"]]
    return [{**stack, "series": s["uid"]} for s in series for stack in s["stacks"]]


def by_pydicom(folder: Path) -> dict[str, np.ndarray]:
    """Stored voxels of each series, slices along the normal, from pydicom alone."""
    series: dict[str, list[pydicom.Dataset]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        image = pydicom.dcmread(path)
        series.setdefault(image.SeriesInstanceUID, []).append(image)

    def along(image: pydicom.Dataset) -> float:
        row, column = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
        return float(np.dot(np.cross(row, column), np.array(image.ImagePositionPatient, float)))

    return {uid: np.stack([i.pixel_array for i in sorted(images, key=along)]) for uid, images in series.items()}


def sha256(voxels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels.astype(voxels.dtype.newbyteorder("<"))).tobytes()).hexdigest()


@pytest.mark.parametrize("case", ["glioma-fg6692", "brain-mr-oblique", "chest-ct-cptac", "ct-gantry-tilt"])
def test_the_voxels_are_those_that_pydicom_reads(overread: Callable[..., Any], data: Path, case: str) -> None:
    said = overread("info", data / "dicom" / case, "--json", "--hash")
    assert said.status == 0
    expected = by_pydicom(data / "dicom" / case)
    stacks = stacks_of(said.json)
    assert {stack["series"]: stack["sha256"] for stack in stacks} == {
        uid: sha256(voxels) for uid, voxels in expected.items()
    }
    for stack in stacks:
        voxels = expected[stack["series"]]
        assert (stack["shape"], stack["dtype"], stack["frames"]) == (
            list(voxels.shape),
            voxels.dtype.name,
            voxels.shape[0],
        )
        assert stack.keys() >= STACK


@pytest.mark.parametrize("case", ["glioma-fg6692", "chest-ct-cptac"])
def test_the_geometry_is_that_of_simpleitk(overread: Callable[..., Any], data: Path, case: str) -> None:
    folder = data / "dicom" / case
    answer = overread("info", folder, "--json").json
    reader = sitk.ImageSeriesReader()
    for stack in stacks_of(answer):
        reader.SetFileNames(_names(folder, stack["series"]))
        image = reader.Execute()
        np.testing.assert_allclose(stack["spacing_mm"], image.GetSpacing()[::-1], atol=2e-3)
        np.testing.assert_allclose(stack["origin_mm"], image.GetOrigin(), atol=1e-3)
        np.testing.assert_allclose(np.ravel(stack["direction"]), image.GetDirection(), atol=1e-3)
        assert "sha256" not in stack
    who = answer["patients"][0]
    assert set(who) == {"id", "name", "studies"}
    assert set(who["studies"][0]) == {"uid", "date", "description", "series", "objects"}
    assert set(who["studies"][0]["series"][0]) == {"uid", "number", "modality", "description", "stacks"}


def _names(folder: Path, uid: str) -> tuple[str, ...]:
    for below in {path.parent for path in folder.rglob("*.dcm")}:
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(below), uid)
        if names:
            return names
    raise AssertionError(uid)


def test_a_tilted_and_uneven_stack_says_so(overread: Callable[..., Any], data: Path) -> None:
    answer = overread("info", data / "dicom" / "ct-gantry-tilt", "--json").json
    problems = {p["code"]: p["text"] for stack in stacks_of(answer) for p in stack["problems"]}
    assert {"gantry-tilt", "variable-spacing"} <= problems.keys()
    assert "18.5°" in problems["gantry-tilt"]
    # 1.14 and 7.38 mm along the table, as much as this between the slices.
    least, most = (z * np.cos(np.deg2rad(18.5)) for z in (1.14, 7.38))
    assert problems["variable-spacing"] == f"Uneven slices: {least:.2f} to {most:.2f} mm apart."


def test_one_image_in_five_encodings_has_one_hash(overread: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    files = [p for p in (data / "dicom/multiframe/enhanced-mr-emri").rglob("*.dcm") if "too_short" not in p.name]
    assert len(files) == 5
    voxels = pydicom.dcmread(next(p for p in files if "big" not in p.name.lower())).pixel_array
    hashes = set()
    for file in files:
        (stack,) = stacks_of(overread("info", file, "--json", "--hash").json)
        hashes.add((stack["sha256"], stack["frames"], stack["dtype"]))
    assert {(digest, frames) for digest, frames, _ in hashes} == {(sha256(voxels), 10)}


def test_what_is_cut_off_has_no_hash_and_says_why(overread: Callable[..., Any], flair: Path) -> None:
    file = sorted(flair.iterdir())[3]
    file.write_bytes(file.read_bytes()[:-100])
    said = overread("info", flair, "--json", "--hash")
    assert said.status == 0
    (stack,) = stacks_of(said.json)
    assert stack["sha256"] is None
    assert {"code": "unreadable", "text": "slice 4: the pixel data is cut off"} in stack["problems"]
    assert "slice 4: the pixel data is cut off" in overread("info", flair, "--hash").out


def test_files_without_extension_and_junk_between_them(overread: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "cd"
    voxels = head_like((5, 16, 16))
    write_series(folder / "A" / "B", voxels, names="IM{k:06d}")
    (folder / "AUTORUN.INF").write_text("[autorun]")
    (folder / "A" / "empty").touch()
    (folder / "A" / "looks.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk" * 40)
    answer = overread("info", folder, "--json", "--hash").json
    (stack,) = stacks_of(answer)
    assert (stack["shape"], stack["sha256"]) == ([5, 16, 16], sha256(voxels))
    assert {Path(s["path"]).name for s in answer["skipped"]} == {"AUTORUN.INF", "empty", "looks.dcm"}
    assert all(set(s) == {"path", "reason"} and s["reason"] for s in answer["skipped"])
    assert "3 other files left out:" in overread("info", folder).out


def test_an_archive_is_the_folder_that_is_in_it(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as members:
        for path in flair.iterdir():
            members.write(path, f"deep/er/{path.stem}")
        members.writestr("readme.txt", "nothing")
    packed, plain = (overread("info", path, "--json", "--hash").json for path in (archive, flair))
    assert packed["patients"] == plain["patients"]
    assert len(packed["skipped"]) == 1
    single = overread("info", *sorted(flair.iterdir()), "--json", "--hash").json
    assert single["patients"] == plain["patients"]


def test_two_people_in_one_folder_never_mix(overread: Callable[..., Any], tmp_path: Path) -> None:
    """Even where a careless export gave both the same study and series UID."""
    one, other = head_like((4, 16, 16), seed=1), head_like((5, 16, 16), seed=2)
    for voxels, who, name in ((one, ("TEST^ONE", "ID1"), "a{k}"), (other, ("TEST^TWO", "ID2"), "b{k}")):
        write_series(tmp_path / "cd", voxels, patient=who, study="1.2.3", series="1.2.3.4", names=name)
    answer = overread("info", tmp_path / "cd", "--json", "--hash").json
    seen = {
        patient["id"]: [stack["sha256"] for stack in stacks_of({"patients": [patient]})]
        for patient in answer["patients"]
    }
    assert seen == {"ID1": [sha256(one)], "ID2": [sha256(other)]}


def test_a_rescale_that_changes_from_slice_to_slice_is_told(overread: Callable[..., Any], tmp_path: Path) -> None:
    slopes = (1.0, 2.0, 4.0, 8.0)
    write_series(tmp_path / "pet", head_like((4, 16, 16)), RescaleSlope=slopes, RescaleIntercept=-3)
    (stack,) = stacks_of(overread("info", tmp_path / "pet", "--json").json)
    assert (stack["slope"], stack["intercept"]) == (list(slopes), -3)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_file_name_that_is_no_text_harms_nothing(overread: Callable[..., Any], flair: Path) -> None:
    (Path(os.fsdecode(os.fsencode(flair) + b"/caf\xe9.txt"))).write_text("old discs have such names")
    answer = overread("info", flair, "--json").json
    assert len(answer["skipped"]) == 1
    assert os.fsencode(answer["skipped"][0]["path"]).endswith(b"caf\xe9.txt")
    assert "caf\\udce9.txt" in overread("info", flair).out


def test_what_cannot_be_read_is_one_plain_line(overread: Callable[..., Any], tmp_path: Path) -> None:
    said = overread("info", tmp_path / "nowhere", "--json")
    assert said.status == 3
    assert said.complaint == f"{tmp_path / 'nowhere'} does not exist. Check the path."
    (tmp_path / "notes.txt").write_text("nothing")
    said = overread("info", tmp_path / "notes.txt", "--json")
    assert said.status == 3
    assert said.complaint == ("No DICOM images were found (not a DICOM file). Name the folder that holds the study.")


def test_for_people(overread: Callable[..., Any], data: Path) -> None:
    lines = overread("info", data / "dicom" / "ct-gantry-tilt").out
    assert "8×512×512" in lines
    assert "⚠ Gantry tilt" in lines
