"""`overread infer`: the main job without a window, whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from overread import paths
from overread.commands.answers import box_mm
from overread.domain.finding import Mask
from overread.session import settings
from support.models import bright_model
from support.series import head_like, write_series
from support.values import box_grid, finding, stack

ANSWER = {"model", "backend", "ms", "series_uid", "findings", "files"}
FINDING = {"id", "kind", "label", "code", "score", "volume_ml", "axes_mm", "box_mm", "status"}


def bright_voxels() -> np.ndarray:
    """What the model has to find in `head_like`, by scipy: what is bright against the head, over 4.5 × 4.5 mm."""
    real = head_like().astype(float)
    low, middle, high = np.percentile(real[real > real.mean()], (10, 50, 90))
    labels, _ = ndimage.label(ndimage.uniform_filter(real, (0, 2, 2)) > middle + 0.6 * (high - low))
    return np.asarray(labels == np.bincount(labels[labels > 0]).argmax())


@pytest.mark.usefixtures("bright")
def test_the_answer_has_its_shape_and_its_numbers(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = overread("infer", flair, "--model", "bright", "--out", out, "--json")
    assert (said.status, said.err) == (0, "")
    answer = said.json
    assert answer.keys() >= ANSWER
    assert json.loads((out / "findings.json").read_text("utf-8")) == answer
    assert [path.name for path in out.iterdir()] == ["findings.json"]
    assert {"id", "version", "sha256"} <= answer["model"].keys()
    assert answer["backend"]["name"] in ("ONNX Runtime CPU", "OpenVINO CPU")
    assert answer["backend"]["precision"] == "fp32"
    assert "TensorRT fp16: the model gives no tolerance for fp16" in answer["backend"]["why"]
    assert "not tried" not in answer["backend"]["why"]
    assert set(answer["ms"]) == {"load", "pre", "run", "post", "total"}
    assert answer["ms"]["total"] >= sum(answer["ms"][stage] for stage in ("load", "pre", "run", "post"))
    assert answer["series_uid"] == pydicom.dcmread(next(flair.iterdir())).SeriesInstanceUID
    (found,) = answer["findings"]
    assert set(found) == FINDING
    assert found["code"] == {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"}
    assert (found["kind"], found["label"], found["status"]) == ("segmentation", "Bright", "proposed")
    assert 0.5 <= found["score"] <= 1
    expected = bright_voxels()
    assert found["volume_ml"] == pytest.approx(expected.sum() * 1.8 * 1.8 * 6 / 1000, rel=0.1)
    low, high = np.array(found["box_mm"])
    k, j, i = np.nonzero(expected)
    centres = np.stack([i * 1.8, j * 1.8, k * 6.0])
    half = np.array([0.9, 0.9, 3.0])
    assert (np.abs(low - (centres.min(axis=1) - half)) <= (4, 4, 6)).all()
    assert (np.abs(high - (centres.max(axis=1) + half)) <= (4, 4, 6)).all()
    long_axis, short_axis = found["axes_mm"]
    assert short_axis <= long_axis <= np.hypot(*(high - low)[:2]) + 1e-3


def test_a_box_goes_round_the_voxels_not_through_their_centres() -> None:
    grid = box_grid((9, 9, 9), (4.0, 2.0, 1.0))
    voxels = np.zeros(grid.shape, bool)
    voxels[2:4, 3, 5:8] = True
    assert box_mm(finding(Mask.of(voxels)), stack(grid)) == [[4.5, 5.0, 6.0], [7.5, 7.0, 14.0]]


@pytest.mark.usefixtures("bright")
def test_accepted_findings_leave_in_the_readers_name(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    words = ("infer", flair, "--model", "bright", "--out", out, "--accept", "--json")
    answer = overread(*words, "--reader", "Ada Lovelace").json
    assert [finding["status"] for finding in answer["findings"]] == ["accepted"]
    assert [item["kind"] for item in answer["files"]] == ["SEG", "SR"]
    for item in answer["files"]:
        written = pydicom.dcmread(item["path"])
        assert (item["sop_instance_uid"], written.Modality) == (written.SOPInstanceUID, item["kind"])
        assert "Lovelace^Ada" in str(written)
    assert {path.name for path in out.iterdir()} == {Path(i["path"]).name for i in answer["files"]} | {"findings.json"}
    before = {finding["id"] for finding in answer["findings"]}
    assert {f["id"] for f in overread(*words).json["findings"]} == before, "the same voxels are another finding"


@pytest.mark.usefixtures("bright")
def test_without_a_name_the_reader_of_the_settings_accepts(
    overread: Callable[..., Any], flair: Path, tmp_path: Path
) -> None:
    settings.save(paths.config() / "settings.toml", settings.Settings(reader="Rosalind Franklin"))
    answer = overread("infer", flair, "--model", "bright", "--out", tmp_path / "out", "--accept", "--json").json
    assert "Franklin^Rosalind" in str(pydicom.dcmread(answer["files"][1]["path"]))


def test_nothing_found_is_an_answer_too(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    bright_model(paths.data() / "models", level=7.0)  # beyond where the manifest clips
    words = ("infer", flair, "--model", "bright", "--out", tmp_path / "out", "--accept")
    said = overread(*words, "--json")
    assert (said.status, said.json["findings"], said.json["files"]) == (0, [], [])
    assert "Looked, found nothing." in overread(*words).out


@pytest.mark.usefixtures("bright")
def test_for_people(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    lines = overread("infer", flair, "--model", "bright", "--out", tmp_path / "out", "--accept").out.splitlines()
    assert lines[0] in ("bright 1.0.0 on ONNX Runtime CPU fp32", "bright 1.0.0 on OpenVINO CPU fp32")
    assert lines[1] == "TEST, ONE · ID1 · MR FLAIR AX"
    assert any(line.startswith("  1. Bright: ") and line.endswith(", accepted") for line in lines)
    assert re.fullmatch(r"load \d+, pre \d+, run \d+, post \d+, total \d+ ms\. Not for clinical use\.", lines[-1])


def _refused(overread: Callable[..., Any], out: Path, *words: str | Path) -> str:
    said = overread("infer", *words, "--out", out, "--accept", "--json")
    assert said.status == 3
    assert not out.exists(), "something was written"
    return str(said.complaint)


@pytest.mark.usefixtures("bright")
def test_outside_of_the_gate_nothing_is_written(overread: Callable[..., Any], tmp_path: Path) -> None:
    write_series(tmp_path / "t1", head_like((5, 32, 32)), description="T1 AX")
    told = _refused(overread, tmp_path / "out", tmp_path / "t1", "--model", "bright")
    assert told == "Bright does not read this series: it is T1, the model reads FLAIR."


@pytest.mark.usefixtures("bright")
def test_what_cannot_be_read_leaves_nothing_behind(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = _refused(overread, out, flair, "--model", "bright", "--series", "1.2.3")
    assert told == "There is no series 1.2.3. “overread info PATH” lists the series."
    assert _refused(overread, out, tmp_path / "nowhere", "--model", "bright").endswith(
        "does not exist. Check the path."
    )
    file = sorted(flair.iterdir())[5]
    file.write_bytes(file.read_bytes()[:-1000])
    told = _refused(overread, out, flair, "--model", "bright")
    assert told.startswith("The series cannot be read: slice 6: the pixel data is cut off.")


@pytest.mark.usefixtures("bright")
def test_where_two_series_fit_the_reader_says_which(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    write_series(flair, head_like(seed=9), spacing=(1.8, 1.8), step=6.0, series="1.2.3.4", names="other{k}")
    told = _refused(overread, tmp_path / "out", flair, "--model", "bright")
    assert told.startswith("2 images fit: ")
    assert told.endswith("Name one with --series.")
    assert "1.2.3.4 (FLAIR AX)" in told
    words = ("infer", flair, "--model", "bright", "--out", tmp_path / "out", "--series", "1.2.3.4", "--json")
    assert overread(*words).json["series_uid"] == "1.2.3.4"


@pytest.mark.usefixtures("bright")
@pytest.mark.parametrize("words", [("--model", "birght"), ("--model", "bright", "--series"), ()])
def test_wrong_usage(overread: Callable[..., Any], flair: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    said = overread("infer", flair, "--out", tmp_path / "out", *words)
    assert (said.status, said.out) == (2, "")
    assert not (tmp_path / "out").exists()
    if "birght" in words:
        assert said.complaint.startswith("There is no model birght. Installed: bright, ")


@pytest.mark.usefixtures("bright")
def test_a_folder_that_cannot_take_all_takes_nothing(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "findings.json").mkdir(parents=True)
    said = overread("infer", flair, "--model", "bright", "--out", out, "--accept", "--json")
    assert said.status == 3
    assert said.complaint.startswith(f"{out} cannot be written: ")
    assert [path.name for path in out.iterdir()] == ["findings.json"]
    (tmp_path / "file").write_text("in the way")
    said = overread("infer", flair, "--model", "bright", "--out", tmp_path / "file", "--accept", "--json")
    assert said.status == 3
    assert said.complaint.startswith(f"{tmp_path / 'file'} cannot be written: ")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_broken_model_beside_is_named_and_takes_nothing_along(
    overread: Callable[..., Any], bright: Path, flair: Path, tmp_path: Path
) -> None:
    broken = bright_model(paths.data() / "models", model_id="broken")
    (broken / "model.toml").write_text("schema = ", "utf-8")
    said = overread("infer", flair, "--model", bright.name, "--out", tmp_path / "out", "--json")
    assert said.status == 0
    assert said.json["findings"]
    assert said.err.startswith("The model in broken cannot be used: model.toml is no TOML")
    assert said.err.count("\n") == 1


@pytest.mark.usefixtures("bright")
def test_real_sequences_are_told_apart(overread: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    """Of the four series of a real study the one FLAIR is read, from an archive or a folder, without being named."""
    said = overread("infer", data / "dicom/glioma-fg6692", "--model", "bright", "--out", tmp_path / "out", "--json")
    assert said.status == 0
    series = {
        str(image.SeriesInstanceUID): str(image.SeriesDescription)
        for path in (data / "dicom/glioma-fg6692").rglob("*.dcm")
        if (image := pydicom.dcmread(path, stop_before_pixels=True))
    }
    assert series[said.json["series_uid"]] == "FLAIR AX"
