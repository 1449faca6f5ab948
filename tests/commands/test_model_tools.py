"""`overread models add · quantize · prune · bench`: what is added runs here, what is lighter says what it costs."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread import paths
from overread.infer.manifest import find_models, read
from support.models import bright_model
from support.series import head_like, write_series

SHIPPED = paths.model_folders()[-1]


@pytest.fixture
def own() -> Path:
    """Where the reader's own models go."""
    return paths.data() / "models"


def packed(model: Path, archive: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as members:
        for file in model.iterdir():
            members.write(file, f"{inside}{file.name}")
    return archive


@pytest.mark.parametrize("kind", ["folder", "zip", "nested zip"])
def test_a_model_is_added_and_reads(overread: Callable[..., Any], tmp_path: Path, own: Path, kind: str) -> None:
    made = bright_model(tmp_path / "from")
    source = made if kind == "folder" else packed(made, tmp_path / "a.zip", "bright-1/" if "nested" in kind else "")
    said = overread("models", "add", source, "--json")
    assert said.json["model"] == {
        "id": "bright",
        "version": "1.0.0",
        "sha256": read(made).sha256,
        "folder": str(own / "bright"),
    }
    assert [file.name for file in sorted(own.iterdir())] == ["bright"]
    assert "bright" in overread("models", "list").out
    write_series(tmp_path / "mr", head_like((12, 96, 96)), step=5.0)
    answer = overread("infer", tmp_path / "mr", "--model", "bright", "--out", tmp_path / "out", "--json").json
    assert [finding["label"] for finding in answer["findings"]] == ["Bright"]


def test_one_of_the_same_name_stays_unless_it_is_replaced(
    overread: Callable[..., Any], tmp_path: Path, own: Path
) -> None:
    overread("models", "add", bright_model(tmp_path / "one"))
    other = bright_model(tmp_path / "two", level=0.8)
    before = read(own / "bright").sha256
    said = overread("models", "add", other)
    assert (said.status, read(own / "bright").sha256) == (3, before)
    assert "bright 1.0.0 is installed already" in said.complaint
    assert overread("models", "add", other, "--replace").status == 0
    assert read(own / "bright").sha256 == read(other).sha256 != before
    assert [file.name for file in own.iterdir()] == ["bright"]


def test_what_is_no_model_or_does_not_run_here_is_refused(
    overread: Callable[..., Any], tmp_path: Path, own: Path
) -> None:
    good = bright_model(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("nothing")
    wrong = shutil.copytree(good, tmp_path / "wrong")
    with np.load(wrong / "selftest.npz") as stored:
        np.savez(wrong / "selftest.npz", input=stored["input"], output=stored["output"] + np.float32(0.3))
    torn = shutil.copytree(good, tmp_path / "torn")
    (torn / "model.onnx").write_bytes(b"torn")
    named = shutil.copytree(good, tmp_path / "named")
    manifest = (named / "model.toml").read_text("utf-8")
    (named / "model.toml").write_text(manifest.replace('id = "bright"', 'id = "../bright"'), encoding="utf-8")
    leading = packed(good, tmp_path / "leading.zip")
    with zipfile.ZipFile(leading, "a") as members:
        members.writestr("../outside.txt", "out")
    double = packed(good, tmp_path / "double.zip")
    with zipfile.ZipFile(double, "a") as members:
        members.write(good / "model.toml", "b/model.toml")
    for source, why in (
        (tmp_path / "empty", "There is no model in"),
        (tmp_path / "file", "neither a folder nor a zip archive"),
        (wrong, "does not pass its self-test here"),
        (torn, "not the file whose sha256"),
        (named, "no name for a folder"),
        (leading, "leads out of it"),
        (double, "holds 2 files model.toml"),
    ):
        said = overread("models", "add", source)
        assert (said.status, said.out) == (3, ""), source
        assert why in said.complaint
    assert list(own.iterdir()) == []
    assert overread("models", "add").status == 2


def test_a_lighter_form_is_a_model_of_its_own(overread: Callable[..., Any], tmp_path: Path, own: Path) -> None:
    write_series(tmp_path / "cr", head_like((1, 128, 128)), modality="CR", BodyPartExamined="CHEST")
    words = ("models", "quantize", "cxr-pneumonia", "--anyway", "--json")
    said = overread(*words, "--calibrate", tmp_path / "cr").json
    before, after = read(SHIPPED / "cxr-pneumonia"), read(own / "cxr-pneumonia-int8")
    assert said["kept"]
    assert said["folder"] == str(after.folder)
    assert said["bytes"]["after"] < 0.5 * said["bytes"]["before"]
    assert 0 < said["off"] < 0.5
    assert said["row"]["peer"] == "cxr-pneumonia"
    assert said["row"]["ratio"] > 0
    assert after.id == "cxr-pneumonia-int8"
    assert after.sha256 != before.sha256
    assert (after.outputs, after.gate) == (before.outputs, before.gate)
    assert after.headline == f"int8 of cxr-pneumonia {before.version}, not measured on patients"
    assert "form of `cxr-pneumonia`" in (after.folder / "CARD.md").read_text("utf-8")
    found, broken = find_models(paths.model_folders())
    assert not broken
    assert {"cxr-pneumonia", "cxr-pneumonia-int8"} <= {spec.id for spec in found}
    links = overread("models", "check", "cxr-pneumonia-int8", "--json").json["models"][0]["backends"]
    assert next(link for link in links if link["backend"] == "ONNX Runtime CPU")["passed"]
    again = overread(*words)
    assert again.status == 3
    assert "is there already" in again.complaint


def test_a_form_that_does_not_pay_is_not_kept(
    overread: Callable[..., Any], own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overread.commands import model_tools
    from overread.commands.benchmarks.rows import Row

    slower = Row("slower", "ms", (2.0,), "made up", "peer", (1.0,))
    monkeypatch.setattr(model_tools, "_against", lambda after, before: slower)
    said = overread("models", "quantize", "glioma-flair", "--form", "fp16", "--json").json
    assert (said["kept"], said["folder"]) == (False, None)
    assert said["bytes"]["after"] < 0.6 * said["bytes"]["before"]
    assert list(own.iterdir()) == []
    assert "not faster here" in overread("models", "quantize", "glioma-flair", "--form", "fp16").out


def test_pruning_asks_for_what_it_needs(overread: Callable[..., Any], own: Path) -> None:
    bright_model(own)
    said = overread("models", "prune", "bright")
    assert (said.status, "no recipe for bright" in said.complaint) == (3, True)
    assert overread("models", "prune", "glioma-flair").status == 2
    assert overread("models", "prune").status == 2
    assert overread("models", "prune", "nobody").status == 2


def test_every_backend_is_timed(overread: Callable[..., Any], own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bright_model(own)
    monkeypatch.setattr(paths, "model_folders", lambda: (own,))
    answer = overread("models", "bench", "--runs", "3", "--json").json
    names = [row["name"] for row in answer["rows"]]
    assert names[0].startswith("bright, ONNX Runtime CPU")
    assert all(row["n"] == 3 and row["p50"] > 0 for row in answer["rows"])
    assert all(row["ratio"] > 0 for row in answer["rows"][1:])
    assert answer["machine"]["cores"]
    assert "bright, ONNX Runtime CPU" in overread("models", "bench", "bright", "--runs", "1").out
    assert overread("models", "bench", "nobody").status == 2
