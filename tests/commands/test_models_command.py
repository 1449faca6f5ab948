"""`overread models`, `doctor`, `bench`: what is there, whether it still does what it did, and why not more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread import paths
from overread.commands import bench
from overread.commands.benchmarks import loading, overlay, window
from overread.commands.benchmarks.rows import Row, alternately
from overread.commands.benchmarks.series import FLAIR
from support.models import bright_model

ROW = {"name", "unit", "p50", "p95", "n", "peer", "peer_p50", "ratio", "limit", "pass", "conditions"}


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good model, and no other model on the machine."""
    folder = bright_model(paths.data() / "models").parent
    monkeypatch.setattr(paths, "model_folders", lambda: (folder,))
    return folder


def off(folder: Path, by: float) -> None:
    """Make a model's self-test expect something else."""
    with np.load(folder / "selftest.npz") as stored:
        np.savez(folder / "selftest.npz", input=stored["input"], output=stored["output"] + np.float32(by))


def reference(links: list[dict[str, Any]]) -> dict[str, Any]:
    """What is said of the link that every model runs on."""
    (link,) = (link for link in links if (link["backend"], link["precision"]) == ("ONNX Runtime CPU", "fp32"))
    return link


def test_list_and_show(overread: Callable[..., Any], models: Path) -> None:
    (listed,) = overread("models", "list", "--json").json["models"]
    shown = overread("models", "show", "bright", "--json").json["model"]
    assert shown == listed
    assert (shown["id"], shown["version"], shown["folder"]) == ("bright", "1.0.0", str(models / "bright"))
    assert shown["labels"] == [{"label": "Bright", "code": "52988006", "scheme": "SCT", "threshold": 0.5}]
    assert "bright 1.0.0 · Bright pixels, for tests" in overread("models", "list").out
    assert "# Bright\n\nFor tests." in overread("models", "show", "bright").out


def test_results_that_json_has_no_word_for(overread: Callable[..., Any], models: Path) -> None:
    with (models / "bright" / "model.toml").open("a", encoding="utf-8") as manifest:
        manifest.write("\n[results]\nmeasured = 2026-01-02\ndice = nan\nworst = [0.5, inf]\n")
    shown = overread("models", "show", "bright", "--json").json["model"]
    assert shown["results"] == {"measured": "2026-01-02", "dice": None, "worst": [0.5, None]}


def test_check_tells_each_model_and_each_backend(overread: Callable[..., Any], models: Path) -> None:
    said = overread("models", "check", "--json")
    assert said.status == 0
    (checked,) = said.json["models"]
    assert reference(checked["backends"])["passed"]
    assert all(b["passed"] or b["why"] for b in checked["backends"])
    assert {"TensorRT", "ONNX Runtime CUDA", "OpenVINO CPU"} <= {b["backend"] for b in checked["backends"]}
    assert "ONNX Runtime CPU fp32: passes (off by " in overread("models", "check").out


def test_one_model_that_does_not_serve_hides_no_other(overread: Callable[..., Any], models: Path) -> None:
    off(bright_model(models, model_id="drifted"), 0.01)
    (bright_model(models, model_id="empty") / "selftest.npz").write_bytes(b"")
    off(bright_model(models, model_id="shapeless"), np.nan)
    (bright_model(models, model_id="broken") / "model.toml").unlink()
    said = overread("models", "check", "--json")
    assert said.status == 3
    first = {model["id"]: reference(model["backends"]) for model in said.json["models"]}
    assert {name: entry["passed"] for name, entry in first.items()} == {
        "bright": True,
        "drifted": False,
        "empty": False,
        "shapeless": False,
    }
    assert first["drifted"]["why"] == "self-test missed: off by 0.01, 0.0001 allowed"
    assert first["drifted"]["error"] == pytest.approx(0.01, rel=1e-3)
    assert first["empty"]["why"].startswith("The self-test of empty cannot be read.")
    assert first["shapeless"]["error"] is None
    assert overread("models", "check", "bright").status == 0
    assert "off by 0.01" in overread("models", "check").out


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("words", [("show",), ("show", "none"), ("check", "none"), ("lift",), ()])
def test_wrong_usage(overread: Callable[..., Any], words: tuple[str, ...]) -> None:
    said = overread("models", *words)
    assert (said.status, said.out) == (2, "")
    assert "overread" in said.err


def test_doctor(overread: Callable[..., Any], models: Path) -> None:
    off(bright_model(models, model_id="drifted"), 0.01)
    said = overread("doctor", "--json")
    assert said.status == 3
    answer = said.json
    assert "CPUExecutionProvider" in answer["providers"]
    assert "onnxruntime" in " ".join(answer["engines"])
    assert answer["engine_trouble"] == ""
    assert all(folder["writable"] for folder in answer["folders"].values())
    assert answer["libraries"]["pydicom"][0].isdigit()
    serves = {model["id"]: model["serves"] for model in answer["models"]}
    assert serves.pop("bright") in ("ONNX Runtime CPU fp32", "OpenVINO CPU fp32")
    assert serves == {"drifted": ""}
    link = reference(next(model for model in answer["models"] if model["id"] == "drifted")["links"])
    assert link["why"].startswith("self-test missed")
    assert link["fix"] == "install the model again"
    lines = overread("doctor").out
    assert "ONNX Runtime CPU fp32: passes (off by " in lines
    assert "ONNX Runtime CPU fp32: does not serve: self-test missed: off by 0.01" in lines
    assert "Model drifted 1.0.0: ⚠ nothing serves it" in lines


def test_doctor_where_nothing_is_installed(
    overread: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "model_folders", lambda: (tmp_path / "none",))
    said = overread("doctor", "--json")
    assert (said.status, said.json["models"]) == (3, [])


def test_doctor_passes_where_all_serve(overread: Callable[..., Any], models: Path) -> None:
    assert overread("doctor", "--json").status == 0


def test_bench_rows(overread: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A real benchmark on a series of three slices: the figures mean nothing, their shape does."""
    monkeypatch.setattr(loading, "_SLICES", 3)
    monkeypatch.setattr(loading, "_RUNS", 2)
    answer = overread("bench", "series-load", "--json").json
    assert set(answer) == {"machine", "rows"}
    (row,) = answer["rows"]
    assert row.keys() >= ROW
    assert (row["name"], row["unit"], row["n"]) == ("series-load", "ms", 2)
    assert 0 < row["p50"] <= row["p95"]
    assert row["ratio"] == pytest.approx(row["peer_p50"] / row["p50"], abs=0.01)
    assert {"cores", "platform", "engines"} <= answer["machine"].keys()
    said = overread("bench", "everything")
    assert (said.status, said.complaint) == (
        2,
        f"There is no benchmark everything. There are {', '.join(bench.BENCHMARKS)}.",
    )


@pytest.mark.parametrize(
    ("on", "limit", "passes"),
    [
        ("p50", 3, True),
        ("p50", 2.9, False),
        ("max", 5, True),
        ("max", 4.9, False),
        ("p95", 4.8, True),
        ("p95", 4.7, False),
        ("ratio", 2, True),
        ("ratio", 2.1, False),
    ],
)
def test_a_row_holds_its_limit_or_not(on: str, limit: float, passes: bool) -> None:
    row = Row("x", "ms", (1, 2, 3, 4, 5), "", "peer", (5, 6, 7), limit=limit, on=on)
    answer = row.answer()
    assert (answer["p50"], answer["p95"], answer["max"], answer["peer_p50"], answer["ratio"]) == (3, 4.8, 5, 6, 2)
    assert answer["pass"] is passes
    assert Row("x", "ms", (1,), "").answer()["pass"] is None


def test_both_are_timed_in_turn() -> None:
    order: list[str] = []
    ours, peer = alternately(lambda: order.append("o"), lambda: order.append("p"), 3)
    assert "".join(order) == "op" * 4
    assert (len(ours), len(peer)) == (3, 3)


def test_what_a_reader_feels_has_rows(overread: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real window and a real model on few slices: the figures mean nothing, their shape does."""
    monkeypatch.setattr(overlay, "_SERIES", ((FLAIR, 6),))
    monkeypatch.setattr(overlay, "_STOPS", 2)
    monkeypatch.setattr(window, "_LONG", 24)
    monkeypatch.setattr(window, "_PER_SECOND", 200)
    answer = overread("bench", "slice-e2e", "cancel", "scroll-overlay", "--json").json
    names = [row["name"] for row in answer["rows"]]
    assert {"slice-e2e glioma-flair", "cancel", "scroll-overlay, first pass", "scroll-overlay"} <= set(names)
    assert all(set(row) >= ROW and row["n"] > 0 for row in answer["rows"])
    later = answer["rows"][names.index("scroll-overlay")]
    assert (later["p50"], later["pass"]) == (0.0, True)


def test_a_start_from_nothing_shows_an_overlay(overread: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_SLICES", 5)
    monkeypatch.setattr(window, "_STARTS", 1)
    (row,) = overread("bench", "cold-start", "--json").json["rows"]
    assert row["n"] == 1
    assert row["p50"] > 100


def test_a_repository_for_triton(overread: Callable[..., Any], models: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    answer = overread("models", "export-triton", repository, "--echo", "--json").json
    assert (answer["precision"], [one["name"] for one in answer["models"]]) == ("fp32", ["bright", "overread-echo"])
    assert sorted(path.name for path in repository.iterdir()) == ["bright", "overread-echo"]
    said = overread("models", "export-triton", repository, "--model", "bright", "--batch", "3")
    assert said.status == 0
    assert said.out.splitlines() == [
        "bright version 1000000, fp32, up to 3 images at once",
        "Bright: For tests. Not for clinical use.",
    ]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        ((), 2, "Where to?"),
        (("DIR", "--model", "none"), 2, "There is no model none."),
        (("DIR", "--tensorrt"), 3, "Bright gives no tolerance for fp16."),
    ],
)
def test_what_cannot_be_exported_is_said(
    overread: Callable[..., Any],
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    status: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = overread("models", "export-triton", *words)
    assert said.status == status
    assert said.complaint.startswith(complaint)
    assert not (tmp_path / "DIR").exists()
