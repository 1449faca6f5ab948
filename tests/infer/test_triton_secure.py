"""The real Triton behind TLS and a token: whom we trust, who we are, and what is said where either is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from overread.infer import triton
from overread.infer.backends.kserve import Server, Unanswered, connected
from overread.infer.backends.remote import Remote
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from support import servers
from support.certificates import certificates
from support.models import bright_model

HEADER = "triton-grpc-protocol-token"
# All that Triton answers but for its health.
RESTRICTED = "metadata,inference,shared-memory,model-config,model-repository,statistics,trace,logging"


@dataclass(frozen=True)
class Secure:
    """A server with what its clients need; `other` is a certificate that has nothing to do with it."""

    url: str
    folder: Path
    spec: ModelSpec

    def remote(self, **more: str) -> Remote:
        given = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key", "token_file": "token", **more}
        files = {name: str(self.folder / file) if file else "" for name, file in given.items()}
        return Remote(self.url, "remote", 20_000, token_header=HEADER, **files)


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, triton_folder: Path, tool: Callable[[str], str]
) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("secure")
    certificates(tool("openssl"), folder)
    (folder / "token").write_text("s3cret\n")
    (folder / "wrong").write_text("guess\n")
    spec = read(bright_model(folder / "models"))
    triton.export([spec], folder / "repository", triton.Plan())
    words = [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={folder / 'server.pem'}",
        f"--grpc-server-key={folder / 'server.key'}",
        f"--grpc-root-cert={folder / 'ca.pem'}",
        f"--grpc-restricted-protocol={RESTRICTED}:token=s3cret",
    ]
    with servers.triton(triton_folder, folder / "repository", *words) as running:
        yield Secure(f"grpcs://localhost:{running.port}", folder, spec)


def _connected(secure: Secure, remote: Remote) -> object:
    server = Server(remote)
    try:
        return connected(server, secure.spec, SelfTest(secure.spec).probes)
    finally:
        server.close()


def test_with_certificates_and_the_token_it_serves(secure: Secure) -> None:
    assert _connected(secure, secure.remote())


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_right_token_nobody_gets_in(secure: Secure, token: str) -> None:
    with pytest.raises(Unanswered, match="does not let us in: the token is missing or wrong"):
        _connected(secure, secure.remote(token_file=token))


@pytest.mark.parametrize(
    "wrong", [{"ca": "other.pem"}, {"cert": "", "key": ""}, {"cert": "other.pem", "key": "other.key"}]
)
def test_whom_we_or_they_do_not_trust_gets_nothing(secure: Secure, wrong: dict[str, str]) -> None:
    with pytest.raises(Unanswered, match=r"cannot be reached|certificate"):
        _connected(secure, secure.remote(**wrong))
