"""The model that ships, on a real glioma: what it writes is read by other people's software, number by number."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from overread import paths
from overread.__main__ import main

MODEL = "glioma-flair"
# Volume, long axis, short axis (TID 1411): concept codes and units (UCUM).
NUMBERS = {"118565006": "ml", "103339001": "mm", "103340004": "mm"}


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The main job, once: its answer, and the folder into which it wrote."""
    import contextlib
    import io

    out = tmp_path_factory.mktemp("job") / "out"
    printed = io.StringIO()
    study = str(data / "dicom" / "glioma-fg6692")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("OVERREAD_HOME", str(out.parent / "home"))
        words = ["infer", study, "--model", MODEL, "--out", str(out), "--accept", "--reader", "Ada Lovelace", "--json"]
        assert main(words) == 0
    return json.loads(printed.getvalue()), out


def file_of(answer: dict[str, Any], kind: str) -> str:
    (path,) = (item["path"] for item in answer["files"] if item["kind"] == kind)
    return str(path)


def flair(data: Path, answer: dict[str, Any]) -> sitk.Image:
    """The FLAIR grid, from SimpleITK."""
    folder = data / "dicom" / "glioma-fg6692"
    paths_of_series = [
        path
        for path in folder.rglob("*.dcm")
        if pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID == answer["series_uid"]
    ]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(
        sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(paths_of_series[0].parent), answer["series_uid"])
    )
    assert len(paths_of_series) == 26
    return reader.Execute()


def test_it_is_installed_says_what_it_is_and_passes_here(overread: Callable[..., Any]) -> None:
    listed = {model["id"]: model for model in overread("models", "list", "--json").json["models"]}
    shown = overread("models", "show", MODEL, "--json").json["model"]
    assert shown == listed[MODEL]
    assert "non-commercial" in shown["use"]
    assert "Not for clinical use" in shown["use"]
    assert Path(shown["folder"]).parent == paths.model_folders()[1]
    assert "Who it is for" in overread("models", "show", MODEL).out
    said = overread("models", "check", MODEL, "--json")
    assert said.status == 0
    on_the_cpu = [link for link in said.json["models"][0]["backends"] if link["backend"] == "ONNX Runtime CPU"]
    assert [link["passed"] for link in on_the_cpu] == [True]


def test_what_is_printed_is_what_is_written(done: tuple[dict[str, Any], Path]) -> None:
    answer, out = done
    assert json.loads((out / "findings.json").read_text("utf-8")) == answer
    assert [item["kind"] for item in answer["files"]] == ["SEG", "SR"]
    assert {path.name for path in out.iterdir()} == {Path(i["path"]).name for i in answer["files"]} | {"findings.json"}
    assert answer["findings"]
    assert {finding["status"] for finding in answer["findings"]} == {"accepted"}
    assert answer["model"]["id"] == MODEL
    assert len(answer["model"]["sha256"]) == 64


def test_dciodvfy_finds_no_error(done: tuple[dict[str, Any], Path], tool: Callable[[str], str]) -> None:
    for item in done[0]["files"]:
        said = subprocess.run([tool("dciodvfy"), item["path"]], capture_output=True, text=True, check=False)
        assert not re.findall(r"^Error.*", said.stdout + said.stderr, re.MULTILINE), item["kind"]


def test_dcmqi_reads_the_same_voxels_in_the_same_place(
    done: tuple[dict[str, Any], Path], data: Path, tmp_path: Path
) -> None:
    """Each segment comes back from dcmqi on the FLAIR grid, with the volume that findings.json gives."""
    answer, _ = done
    reader = Path(sys.executable).with_name("segimage2itkimage")
    command = [reader, "--inputDICOM", file_of(answer, "SEG"), "--outputDirectory", tmp_path, "--outputType", "nrrd"]
    subprocess.run(command, capture_output=True, check=True)
    image = flair(data, answer)
    volume = hd.seg.segread(file_of(answer, "SEG")).get_volume()
    together = np.zeros(image.GetSize()[::-1], bool)
    for path in tmp_path.glob("*.nrrd"):
        segment = sitk.ReadImage(str(path))
        assert segment.GetSize() == image.GetSize()
        for theirs, ours in zip(_corners(segment), _corners(image), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-3)
        together |= sitk.GetArrayFromImage(segment) > 0
    assert np.array_equal(together, _on(image, volume))
    millilitres = together.sum() * float(np.prod(image.GetSpacing())) / 1000
    assert sum(finding["volume_ml"] for finding in answer["findings"]) == pytest.approx(millilitres, rel=1e-3)


def _corners(image: sitk.Image) -> list[tuple[float, ...]]:
    last = [size - 1 for size in image.GetSize()]
    return [
        image.TransformIndexToPhysicalPoint([x * last[0], y * last[1], z * last[2]])
        for x in (0, 1)
        for y in (0, 1)
        for z in (0, 1)
    ]


def _on(image: sitk.Image, volume: hd.Volume) -> np.ndarray:
    """Highdicom's voxels by their places in the patient, in the array of a SimpleITK image."""
    found = np.zeros(image.GetSize()[::-1], bool)
    for index in np.argwhere(np.asarray(volume.array).reshape(*volume.spatial_shape, -1).any(axis=-1)):
        place = volume.map_indices_to_reference(index[None].astype(float))[0]
        i, j, k = image.TransformPhysicalPointToIndex(place.tolist())
        found[k, j, i] = True
    return found


def test_the_numbers_in_the_report_are_those_of_the_json(done: tuple[dict[str, Any], Path]) -> None:
    answer, _ = done
    report = hd.sr.srread(file_of(answer, "SR"))
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(answer["findings"])
    by_id = {finding["id"]: finding for finding in answer["findings"]}
    for group in groups:
        finding = by_id[group.tracking_uid]
        numbers = {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}
        expected = (finding["volume_ml"], *finding["axes_mm"])
        assert {code: numbers[code] for code in NUMBERS} == {
            code: (value, unit) for (code, unit), value in zip(NUMBERS.items(), expected, strict=True)
        }


def test_dcmtk_reads_the_report(done: tuple[dict[str, Any], Path], tool: Callable[[str], str]) -> None:
    answer, _ = done
    said = subprocess.run([tool("dsrdump"), file_of(answer, "SR")], capture_output=True, text=True, check=True)
    assert not re.findall(r"^[EF]: .*", said.stderr, re.MULTILINE)
    for finding in answer["findings"]:
        assert finding["id"] in said.stdout
        for value in (finding["volume_ml"], *finding["axes_mm"]):
            assert re.search(rf'"{re.escape(f"{value:g}")}0*"', said.stdout), value
    assert "Lovelace^Ada" in said.stdout
    assert MODEL in said.stdout


def test_a_chest_ct_is_not_its_business(overread: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = overread("infer", data / "dicom" / "chest-ct-cptac", "--model", MODEL, "--out", out, "--accept", "--json")
    assert said.status == 3
    assert said.complaint == "Glioma on FLAIR does not read this series: it is CT, the model reads MR."
    assert not out.exists()
