"""`overread infer` with models of every task on real images: what comes out lies in the image and says what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from overread import paths
from support.series import head_like, write_series
from support.tiny import kinds_model, peaks_model, sides_model


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models, and no other model on the machine."""
    folder = paths.data() / "models"
    monkeypatch.setattr(paths, "model_folders", lambda: (folder,))
    return folder


def test_a_reversed_chest_x_ray_without_spacing_is_classified(
    overread: Callable[..., Any], models: Path, data: Path, tmp_path: Path
) -> None:
    """The picture is MONOCHROME1: lungs, with high stored values, are dark; the model sees it the right way round."""
    sides_model(models)
    file = data / "dicom/chest-xray/RG1_J2KI.dcm"
    words = ("infer", file.parent, "--model", "sides", "--out", tmp_path / "out")
    answer = overread(*words, "--json").json
    stored = pydicom.dcmread(file).pixel_array.astype(float)
    bright = 1 - (stored.mean() - stored.min()) / (stored.max() - stored.min())
    by_label = {finding["label"]: finding for finding in answer["findings"]}
    assert list(by_label) == ["Bright", "Dark"]
    assert by_label["Bright"]["score"] == pytest.approx(bright, abs=0.01)
    assert by_label["Dark"]["score"] == pytest.approx(1 - bright, abs=0.01)
    for finding in answer["findings"]:
        assert finding["kind"] == "classification"
        assert finding["positive"] is (finding["score"] >= finding["threshold"])
        assert finding["volume_ml"] is finding["axes_mm"] is finding["box_mm"] is None
    side = "above" if bright >= 0.5 else "below"
    line = f"  1. Bright: probability {by_label['Bright']['score']:.2f}, {side} the threshold of 0.50, proposed"
    assert line in overread(*words).out.splitlines()


@pytest.mark.parametrize("file", ["US1_UNC", "US1_J2KR"])
def test_a_colour_image_is_classified(
    overread: Callable[..., Any], models: Path, data: Path, tmp_path: Path, file: str
) -> None:
    sides_model(models, channels="rgb", modality="US")
    path = next((data / "dicom/codecs/wg04").glob(f"**/{file}*"))
    findings = overread("infer", path, "--model", "sides", "--out", tmp_path / "out", "--json").json["findings"]
    reference = pydicom.dcmread(next((data / "dicom/codecs/wg04").glob("**/US1_UNC*"))).pixel_array
    assert reference.shape[2] == 3
    assert [(f["label"], f["score"]) for f in findings] == [
        ("Bright", pytest.approx(reference.mean() / 255, abs=0.005)),
        ("Dark", pytest.approx(1 - reference.mean() / 255, abs=0.005)),
    ]


def test_boxes_on_a_chest_ct(overread: Callable[..., Any], models: Path, data: Path, tmp_path: Path) -> None:
    """Bone is what is smooth and above 300 HU: each box holds it, in the slice that its millimetres say."""
    peaks_model(models, size=256, spacing=1.2, window=(-1000, 1200), gap_mm=3.5, contour=True)
    words = ("infer", data / "dicom/chest-ct-cptac", "--model", "peaks", "--out", tmp_path / "out")
    findings = overread(*words, "--json").json["findings"]
    images = [pydicom.dcmread(path) for path in sorted((data / "dicom/chest-ct-cptac").glob("*.dcm"))]
    by_z = {float(image.ImagePositionPatient[2]): image for image in images}
    assert findings
    assert [finding["score"] for finding in findings] == sorted((f["score"] for f in findings), reverse=True)
    for finding in findings:
        assert (finding["kind"], finding["status"]) == ("detection", "proposed")
        low, high = finding["box_mm"]
        inside = [image for z, image in by_z.items() if low[2] < z < high[2]]
        assert len(inside) == round((high[2] - low[2]) / 3)
        brightest = -1000.0
        for image in inside:
            (x, y, _), spacing = image.ImagePositionPatient, float(image.PixelSpacing[0])
            rows = slice(*(round((edge - float(y)) / spacing + 0.5) for edge in (low[1], high[1])))
            columns = slice(*(round((edge - float(x)) / spacing + 0.5) for edge in (low[0], high[0])))
            values = image.pixel_array[rows, columns] * float(image.RescaleSlope) + float(image.RescaleIntercept)
            brightest = max(brightest, float(values.max()))
        assert brightest >= 100
    outlined = [finding for finding in findings if finding["axes_mm"]]
    assert outlined, "no box was outlined"
    assert all(finding["volume_ml"] > 0 for finding in outlined)


def test_kinds_on_a_real_flair(overread: Callable[..., Any], models: Path, data: Path, tmp_path: Path) -> None:
    kinds_model(models, role="FLAIR", size=256, spacing=0.9)
    words = ("infer", data / "dicom/glioma-fg6692", "--model", "kinds", "--out", tmp_path / "out")
    findings = overread(*words, "--json").json["findings"]
    assert findings
    largest = max(finding["volume_ml"] for finding in findings)
    for finding in findings:
        assert finding["kind"] == "segmentation"
        assert finding["classes"].keys() == {"Rising", "Level"}
        assert sum(finding["classes"].values()) == pytest.approx(1, abs=1e-3)
        assert finding["label"] == max(finding["classes"], key=finding["classes"].get)
        assert finding["volume_ml"] >= 0.25 * largest - 1e-3
    first = findings[0]
    told = ", ".join(f"{label} {share:.2f}" for label, share in first["classes"].items())
    assert f", score {first['score']:.2f}, {told}, proposed" in overread(*words).out


def test_a_box_without_an_outline_is_told_by_its_size(
    overread: Callable[..., Any], models: Path, tmp_path: Path
) -> None:
    peaks_model(models, window=(0, 800), spacing=2.0)
    write_series(tmp_path / "ct", head_like((5, 96, 96)), spacing=(2.0, 2.0), step=3.0, modality="CT")
    words = ("infer", tmp_path / "ct", "--model", "peaks", "--out", tmp_path / "out")
    finding, *_ = overread(*words, "--json").json["findings"]
    assert finding["volume_ml"] is finding["axes_mm"] is None
    across, down, along = (high - low for low, high in zip(*finding["box_mm"], strict=True))
    assert (across % 2, down % 2, along % 3) == (0, 0, 0), "edges lie between voxels"
    assert across >= 14
    assert down >= 18
    assert f"  1. Peak: a box of {across:.0f} × {down:.0f} × {along:.0f} mm, score " in overread(*words).out


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"modality": "MR"}, "it is MR, the model reads X-ray"),
        ({"shape": (2, 16, 16)}, "it has 2 axial slices, the model wants 1"),
    ],
)
def test_why_an_image_is_not_classified(
    overread: Callable[..., Any], models: Path, tmp_path: Path, facts: dict[str, Any], told: str
) -> None:
    sides_model(models)
    write_series(tmp_path / "cr", head_like(facts.get("shape", (1, 16, 16))), modality=facts.get("modality", "CR"))
    said = overread("infer", tmp_path / "cr", "--model", "sides", "--out", tmp_path / "out")
    assert (said.status, said.complaint) == (3, f"Sides does not read this series: {told}.")


def test_the_list_tells_what_was_measured(overread: Callable[..., Any], models: Path) -> None:
    for name, results in (
        ("one", '[results]\nheadline = "Dice 0.784 (0.715–0.844), 17 patients"\n[results.held_out]\nheadline = "x"\n'),
        ("two", '[results.held_out]\nheadline = "AUC 0.98"\n[results.elsewhere]\nheadline = "AUC 0.91"\n'),
        ("three", ""),
    ):
        with (sides_model(models, name) / "model.toml").open("a", encoding="utf-8") as manifest:
            manifest.write(results)
    listed = {model["id"]: model["headline"] for model in overread("models", "list", "--json").json["models"]}
    assert listed == {"one": "Dice 0.784 (0.715–0.844), 17 patients", "two": "AUC 0.98; AUC 0.91", "three": ""}
    lines = overread("models", "list").out.splitlines()
    assert "one 1.0.0 · For tests · Dice 0.784 (0.715–0.844), 17 patients" in lines
    assert "three 1.0.0 · For tests · not measured" in lines
