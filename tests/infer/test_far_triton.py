"""Eight readers on one real Triton that is killed in the middle of their requests, freezes, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.domain.ports import Cancel
from overread.infer import triton
from overread.infer.backends.breaker import Breaker
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.far import Far, Hybrid
from overread.infer.backends.kserve import Server
from overread.infer.backends.remote import Remote
from overread.infer.manifest import ModelSpec, read
from support import servers, tiny
from support.models import bright_model

CLIENTS, SLICES = 8, 6
HERE, THERE = "ONNX Runtime CPU", "Server 127.0.0.1"


class Reader:
    """One reader with a connection, a breaker and a time of their own, who goes through some slices."""

    def __init__(self, spec: ModelSpec, target: str, deadline_ms: float) -> None:
        remote = Remote(f"grpc://{target}", "hybrid", deadline_ms)
        self.server, self.now = Server(remote), 0.0
        breaker = Breaker(clock=lambda: self.now)
        far = Far(spec, remote, lambda: self.server, breaker)
        self.hybrid = Hybrid(spec.name, far, Chain((REFERENCE,)).serve(spec), lambda work: work())
        self.backend = self.hybrid.backend
        self.names: list[str] = []

    def read(self, tensor: np.ndarray) -> np.ndarray:
        answer = self.backend.run(tensor, Cancel())["probability"]
        self.names.append(self.backend.name)
        return answer

    def find(self, tensor: np.ndarray) -> None:
        """Read until the server serves."""
        given_up = time.monotonic() + 120
        while not self.hybrid.whither:
            assert time.monotonic() < given_up, self.hybrid.why
            self.now += 60
            self.read(tensor)
        self.names.clear()


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return read(bright_model(tmp_path / "models", work=1))


@pytest.fixture
def slices(spec: ModelSpec) -> list[tuple[np.ndarray, np.ndarray]]:
    """Slices with what the network says to them."""
    tensors = [np.full((1, 1, 256, 256), level, np.float32) for level in np.linspace(0.2, 1.0, SLICES)]
    return [(tensor, tiny.answers(spec.graph.onnx(), tensor)["probability"]) for tensor in tensors]


def _all_right(reader: Reader, slices: list[tuple[np.ndarray, np.ndarray]], each: Callable[[], object]) -> bool:
    for tensor, expected in slices:
        np.testing.assert_allclose(reader.read(tensor), expected, atol=1e-4)
        each()
    return True


def _patience_ms(spec: ModelSpec, target: str, slices: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """A deadline that a server at work keeps on this machine as busy as it is now: ten times its slowest answer.

    One that is shorter, tried over and over, leaves the server ever more to do that nobody waits for.
    """
    reader, took = Reader(spec, target, 60_000), []
    reader.find(slices[0][0])
    for tensor, _ in slices:
        began = time.monotonic()
        reader.read(tensor)
        took.append(time.monotonic() - began)
    assert reader.names == [THERE] * SLICES
    reader.server.close()
    return max(3_000, round(10_000 * max(took)))


def test_eight_readers_lose_no_slice_when_the_server_is_killed_in_the_middle_and_find_it_again(
    spec: ModelSpec, slices: list[tuple[np.ndarray, np.ndarray]], tmp_path: Path, triton_folder: Path
) -> None:
    repository, port = tmp_path / "repository", servers.free_port()
    triton.export([spec], repository, triton.Plan())
    with servers.triton(triton_folder, repository, port=port) as running:
        readers = [Reader(spec, running.target, 20_000) for _ in range(CLIENTS)]
        assert all(reader.hybrid.whither for reader in readers)
        answered = threading.Semaphore(0)

        def killer() -> None:
            for _ in range(CLIENTS + 2):
                answered.acquire(timeout=60)
            running.kill()

        thread = threading.Thread(target=killer)
        thread.start()
        assert all(servers.at_once(lambda reader: _all_right(reader, slices, answered.release), readers))
        thread.join(60)
        names = [name for reader in readers for name in reader.names]
        assert len(names) == CLIENTS * SLICES
        assert set(names) == {HERE, THERE}
        assert all(reader.names[-1] == HERE for reader in readers)
    with servers.triton(triton_folder, repository, port=port):
        for reader in readers:
            reader.find(slices[0][0])
        assert all(servers.at_once(lambda reader: _all_right(reader, slices, lambda: None), readers))
        assert {name for reader in readers for name in reader.names} == {THERE}
        for reader in readers:
            reader.server.close()


def test_a_server_that_freezes_costs_a_few_deadlines_and_serves_again_when_it_goes_on(
    spec: ModelSpec, slices: list[tuple[np.ndarray, np.ndarray]], tmp_path: Path, triton_folder: Path
) -> None:
    triton.export([spec], tmp_path / "repository", triton.Plan())
    with servers.triton(triton_folder, tmp_path / "repository") as running:
        patience = _patience_ms(spec, running.target, slices)
        reader = Reader(spec, running.target, patience)
        reader.find(slices[0][0])
        running.freeze()
        _all_right(reader, slices, lambda: None)
        assert reader.names == [HERE] * SLICES
        assert reader.hybrid.notice == f"{THERE}: no answer within {patience} ms; this machine goes on."
        running.thaw()
        reader.find(slices[0][0])
        _all_right(reader, slices, lambda: None)
        assert reader.names == [THERE] * SLICES
        assert reader.hybrid.notice == f"{THERE} answers again."
        reader.server.close()
