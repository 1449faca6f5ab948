"""The compose file: its options are those of the real Triton, and what it asks for is what the export writes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from overread.infer import triton
from overread.infer.backends.kserve import Server, Unanswered, connected
from overread.infer.backends.remote import Remote
from overread.infer.manifest import read
from overread.infer.selftest import SelfTest
from support import servers
from support.models import bright_model

FOLDER = Path(__file__).resolve().parents[2] / "packaging" / "server"


def _service(name: str = "compose.yaml") -> dict[str, object]:
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))["services"]["triton"]


def _commands() -> list[str]:
    """The commands for a certificate, as the page has them."""
    page = (FOLDER / "README.md").read_text("utf-8").replace("\\\n", " ")
    return [line.strip() for line in page.splitlines() if re.match(r"\s{7}(openssl|printf) ", line)]


def test_the_real_triton_takes_these_options_and_lets_in_who_has_the_token(
    tmp_path: Path, triton_folder: Path, tool: Callable[[str], str]
) -> None:
    tool("openssl")
    for line in _commands():
        typed = line.replace("ai.example.org", "localhost")
        subprocess.run(typed, shell=True, cwd=tmp_path, check=True, capture_output=True)
    spec = read(bright_model(tmp_path / "models"))
    triton.export([spec], tmp_path / "repository", triton.Plan(), echo=True)
    own = ("--model-repository", "--allow-metrics", "--http-address", "--exit-timeout-secs")
    program, *options = _service()["command"]
    assert program == "tritonserver"
    words = [
        re.sub(r"\$\{TOKEN:[^}]*\}", "s3cret", option).replace("/certificates", str(tmp_path))
        for option in options
        if not option.startswith(own)
    ]
    with servers.triton(triton_folder, tmp_path / "repository", *words) as running:
        (tmp_path / "token").write_text("s3cret")
        given = {"token_header": "triton-grpc-protocol-token", "ca": str(tmp_path / "ca.pem")}
        url = f"grpcs://localhost:{running.port}"
        server = Server(Remote(url, "remote", 20_000, token_file=str(tmp_path / "token"), **given))
        assert connected(server, spec, SelfTest(spec).probes)
        server.close()
        stranger = Server(Remote(url, "remote", 20_000, **given))
        with pytest.raises(Unanswered, match="the token is missing or wrong"):
            stranger.about()
        stranger.close()


def test_the_two_files_go_together() -> None:
    service = _service()
    mounted = {volume.rsplit(":ro", 1)[0].rsplit(":", 1)[1] for volume in service["volumes"]}
    assert mounted == {"/models", "/certificates", triton.ENGINES}
    assert service["ports"] == ["${PORT:-8001}:8001"]  # gRPC alone
    (device,) = _service("compose.gpu.yaml")["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"


def test_the_settings_on_the_page_are_understood() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    table = re.search(r"( {4}\[remote\]\n(?: {4}.+\n)+)", page)
    assert table is not None
    remote = Remote.of(tomllib.loads(table.group(1).replace("    ", ""))["remote"])
    assert (remote.policy, remote.token_header) == ("hybrid", "triton-grpc-protocol-token")
    keys = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(keys))) == {field.name for field in fields(Remote)}
