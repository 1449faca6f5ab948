"""`overread bench remote`: the way to a real Triton and back; plainly nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overread import paths
from overread.commands.benchmarks import remote
from support import servers
from support.models import bright_model


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one model, and no other model on the machine."""
    folder = bright_model(paths.data() / "models").parent
    monkeypatch.setattr(paths, "model_folders", lambda: (folder,))
    return folder


def _settings(url: str) -> None:
    paths.config().mkdir(parents=True, exist_ok=True)
    (paths.config() / "settings.toml").write_text(f'[remote]\nurl = "{url}"\n', "utf-8")


def test_a_round_trip_many_clients_and_each_model(
    overread: Callable[..., Any],
    models: Path,
    tmp_path: Path,
    triton_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_SECONDS", 1)
    monkeypatch.setattr(remote, "_TRIPS", 20)
    overread("models", "export-triton", tmp_path / "repository", "--echo")
    bright_model(models, model_id="unknown")
    with servers.triton(triton_folder, tmp_path / "repository") as running:
        _settings(f"grpc://{running.target}")
        rows = {row["name"]: row for row in overread("bench", "remote", "--json").json["rows"]}
    assert list(rows) == ["remote-way", "remote-clients", "remote bright", "remote unknown"]
    assert rows["remote-way"]["p50"] > 0
    assert (rows["remote-way"]["n"], rows["remote-way"]["limit"]) == (20, "p50 ≤ 6")
    assert rows["remote-clients"]["p50"] > 8
    assert rows["remote-clients"]["limit"] == "rate ≥ 500"
    assert (rows["remote bright"]["n"], rows["remote bright"]["peer"]) == (20, "ONNX Runtime CPU fp32 here")
    assert (rows["remote unknown"]["n"], rows["remote unknown"]["p50"], rows["remote unknown"]["pass"]) == (
        0,
        None,
        None,
    )
    assert "unknown model" in rows["remote unknown"]["conditions"]


def test_without_a_server_it_says_so(overread: Callable[..., Any], models: Path) -> None:
    said = overread("bench", "remote")
    assert said.status == 0
    assert "remote-way: not measured\n    no server is named in the settings: [remote] url\n" in said.out
    target = f"127.0.0.1:{servers.free_port()}"
    _settings(f"grpc://{target}")
    assert (
        f"remote-clients: not measured\n    no server at {target}: cannot be reached" in overread("bench", "remote").out
    )
