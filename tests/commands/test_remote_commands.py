"""`overread doctor`, `models check` and `infer` with a server in the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from overread import paths
from overread.infer.manifest import read
from support.servers import Recorder, free_port, model_of, recording


@pytest.fixture
def recorder(bright: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Recorder]]:
    monkeypatch.setattr(paths, "model_folders", lambda: (bright.parent,))
    with recording({"bright": model_of(read(bright))}) as running:
        yield running


def _settings(target: str, policy: str) -> None:
    paths.config().mkdir(parents=True, exist_ok=True)
    table = f'[remote]\nurl = "grpc://{target}"\npolicy = "{policy}"\ndeadline_ms = 5000\n'
    (paths.config() / "settings.toml").write_text(table, "utf-8")


def test_doctor_names_the_server_and_what_it_serves(
    overread: Callable[..., Any], recorder: tuple[str, Recorder]
) -> None:
    target, wrote = recorder
    _settings(target, "hybrid")
    answer = overread("doctor", "--json").json
    assert answer["remote"] == {
        "url": f"grpc://{target}",
        "policy": "hybrid",
        "deadline_ms": 5000.0,
        "encrypted": False,
        "server": "recorder 1",
        "why": "",
    }
    (model,) = answer["models"]
    assert model["serves"] == "Server 127.0.0.1 fp32"
    assert [link["passed"] for link in model["links"][:2]] == [True, True]
    assert (
        f"Server: grpc://{target}, policy hybrid, 5000 ms, not encrypted: recorder 1 answers\n"
        in overread("doctor").out
    )
    wrote.models.clear()
    (checked,) = overread("models", "check", "--json").json["models"]
    assert checked["backends"][0]["why"] == "Request for unknown model"
    assert checked["backends"][1]["passed"]


def test_doctor_says_what_is_wrong_with_the_server(overread: Callable[..., Any], recorder: object) -> None:
    target = f"127.0.0.1:{free_port()}"
    _settings(target, "remote")
    said = overread("doctor", "--json")
    assert said.status == 3
    assert said.json["remote"]["why"] == "cannot be reached"
    (model,) = said.json["models"]
    assert (model["serves"], [link["why"] for link in model["links"]]) == ("", ["cannot be reached"])


def test_without_a_server_everything_stays_here(overread: Callable[..., Any], recorder: tuple[str, Recorder]) -> None:
    assert "Server: none; everything runs on this machine\n" in overread("doctor").out
    assert recorder[1].headers == []


def test_infer_says_what_ran(
    overread: Callable[..., Any], recorder: tuple[str, Recorder], flair: Path, tmp_path: Path
) -> None:
    _settings(recorder[0], "remote")
    answer = overread("infer", flair, "--model", "bright", "--out", tmp_path / "out", "--accept", "--json").json
    assert (answer["backend"]["name"], answer["backend"]["precision"]) == ("Server 127.0.0.1", "fp32")
    assert answer["findings"]
