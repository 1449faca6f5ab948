"""What the settings say of a server is understood or refused; the token stands somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overread.domain.errors import UserError
from overread.infer.backends.remote import Remote

URL = "grpcs://ai.example.org:8001"


def test_without_a_word_nothing_leaves() -> None:
    remote = Remote.of({})
    assert (remote.policy, remote.url) == ("local", "")


def test_a_table_is_understood_and_what_nobody_knows_left_alone() -> None:
    remote = Remote.of({"url": URL, "policy": "hybrid", "deadline_ms": 200, "colour": "blue"})
    assert (remote.target, remote.host, remote.encrypted) == ("ai.example.org:8001", "ai.example.org", True)
    assert remote.deadline_ms == 200.0
    assert remote.whither == "The slice's grey values, without any header, go to ai.example.org."


@pytest.mark.parametrize(
    ("url", "whither"),
    [
        ("grpc://10.0.0.7:8001", "The slice's grey values, without any header, go to 10.0.0.7, unencrypted."),
        ("grpc://[::1]:8001", "The slice's grey values, without any header, go to [::1]."),
    ],
)
def test_the_reader_is_told_where_things_go_and_whether_others_can_look(url: str, whither: str) -> None:
    assert Remote(url).whither == whither


@pytest.mark.parametrize(
    "table",
    [
        {"policy": "both", "url": URL},
        {"policy": "remote"},
        {"url": "ai.example.org:8001"},
        {"url": "http://ai.example.org:8000"},
        {"url": "grpcs://reader:secret@ai.example.org:8001"},
        {"url": URL, "deadline_ms": 0},
        {"url": URL, "deadline_ms": "fast"},
        {"url": URL, "deadline_ms": True},
        {"url": URL, "token_file": "a", "token_env": "b"},
        {"url": URL, "cert": "a.pem"},
        {"url": "grpc://ai.example.org:8001", "ca": "a.pem"},
        {"url": "grpc://ai.example.org:8001", "token_env": "OVERREAD_TOKEN"},
        {"url": 7},
    ],
)
def test_what_makes_no_sense_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Remote.of(table)


def test_the_token_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    assert Remote(URL, token_file=str(file)).headers() == {"authorization": "Bearer s3cret"}
    triton = Remote(URL, token_file=str(file), token_header="triton-grpc-protocol-token")
    assert triton.headers() == {"triton-grpc-protocol-token": "s3cret"}


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERREAD_TOKEN", "s3cret")
    remote = Remote(URL, token_env="OVERREAD_TOKEN")
    assert remote.headers() == {"authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(remote)


def test_a_token_that_is_not_there_or_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERREAD_TOKEN", raising=False)
    with pytest.raises(UserError, match=r"There is no token for ai\.example\.org in the environment variable"):
        Remote(URL, token_env="OVERREAD_TOKEN").headers()
    with pytest.raises(UserError, match=r"The token for ai\.example\.org cannot be read in .*/gone\."):
        Remote(URL, token_file=str(tmp_path / "gone")).headers()
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    with pytest.raises(UserError, match="There is no token"):
        Remote(URL, token_file=str(tmp_path / "binary")).headers()


def test_without_a_token_no_header() -> None:
    assert Remote(URL).headers() == {}
