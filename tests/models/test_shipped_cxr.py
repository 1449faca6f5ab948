"""The pneumonia model that ships: its numbers are those of its card, and its map explains the whole of its answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy import special

from models.training.bundles import image, rows
from models.training.classification import roc_auc
from models.training.cxr_report import chance_of
from models.training.evaluate import spaced, volume_of
from models.training.measures import Counts
from models.training.radiograph import phantom
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.gate import refusal
from overread.infer.manifest import ModelSpec, read

FOLDER = Path(__file__).resolve().parents[2] / "models" / "cxr-pneumonia"


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return read(FOLDER)


def test_the_card_and_the_manifest_say_the_same(spec: ModelSpec) -> None:
    card = (FOLDER / "CARD.md").read_text("utf-8")
    public = spec.results["public_test"]
    for name in ("auc", "sensitivity", "specificity"):
        assert f"**{public[name]:.3f}** ({public[f'{name}_low']:.3f} to {public[f'{name}_high']:.3f})" in card
        assert public[f"{name}_low"] <= public[name] <= public[f"{name}_high"]
    assert f"AUC {public['auc']:.3f}" in spec.headline
    assert spec.results["parameters"] <= 5_000_000
    assert f"from {spec.outputs[0].threshold:g} on" in card


def test_the_mean_of_the_map_and_an_offset_are_the_logit(spec: ModelSpec) -> None:
    session = onnxruntime.InferenceSession(spec.weights, providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(5).random((3, 1, 224, 224), np.float32)
    chances, maps = session.run(["probability", "activation"], {"image": np.concatenate([phantom(224, 224), noise])})
    assert maps.shape == (4, 1, 14, 14)
    offsets = special.logit(chances.astype(np.float64)) - maps.mean(axis=(2, 3))
    assert np.ptp(maps.mean(axis=(2, 3))) > 0.1
    assert np.ptp(offsets) < 1e-3


def test_it_reads_radiographs_of_chests_only(spec: ModelSpec) -> None:
    voxels = np.zeros((1, 64, 64), np.int32)
    assert refusal(spec, volume_of(voxels, spaced((1, 1, 1)), "DX", "").stack) == ""
    assert "it is CT" in refusal(spec, volume_of(voxels, spaced((1, 1, 1)), "CT", "").stack)
    assert "it has 3" in refusal(spec, volume_of(voxels.repeat(3, axis=0), spaced((1, 1, 1)), "CR", "").stack)


def test_the_public_test_gives_the_numbers_of_the_card(spec: ModelSpec, data: Path) -> None:
    detector = OnnxDetector(spec, Chain((REFERENCE,)))
    public = [row for row in rows(data / "train" / "cxr-pneumonia.zip") if row.split == "public-test"]
    truth = np.array([row.label == "pneumonia" for row in public])
    chances = np.array([chance_of(detector, image(row)) for row in public])
    counts = Counts.of(chances >= spec.outputs[0].threshold, truth)
    said = spec.results["public_test"]
    assert said["images"] == len(public)
    assert roc_auc(chances, truth) == pytest.approx(said["auc"], abs=2e-3)
    # other processors round elsewhere: one image may change sides
    assert counts.sensitivity == pytest.approx(said["sensitivity"], abs=1.1 / truth.sum())
    assert counts.specificity == pytest.approx(said["specificity"], abs=1.1 / (~truth).sum())


def test_a_real_radiograph_has_one_finding_without_a_place(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from overread.__main__ import main

    study = str(data / "dicom" / "chest-xray")
    out = str(tmp_path / "out")
    assert main(["infer", study, "--model", "cxr-pneumonia", "--out", out, "--json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["kind"], finding["label"], finding["code"]["value"]) == ("classification", "Pneumonia", "233604007")
    assert 0 < finding["score"] < 1
    assert finding["positive"] == (finding["score"] >= finding["threshold"])
    assert finding["volume_ml"] in (None, 0)
