"""The server first, this machine at once where it is slow or gone, the server again when it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Cancel
from overread.infer.backends.breaker import Breaker
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.far import Far, FarChain, Hybrid, chain_of
from overread.infer.backends.kserve import Server
from overread.infer.backends.remote import Remote
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from support import tiny, values
from support.servers import Model, Recorder, free_port, model_of, recording

HERE = "ONNX Runtime CPU"
THERE = "Server 127.0.0.1"


class Hands:
    """The time, and the work that was given to nobody in particular: both go on when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: list[Callable[[], object]] = []

    def later(self, seconds: float) -> None:
        self.now += seconds

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


@pytest.fixture
def hands() -> Hands:
    return Hands()


def _far(spec: ModelSpec, target: str, hands: Hands, deadline_ms: float = 5_000) -> Far:
    remote = Remote(f"grpc://{target}", "hybrid", deadline_ms)
    server = Server(remote)
    return Far(spec, remote, lambda: server, Breaker(clock=lambda: hands.now))


def _hybrid(spec: ModelSpec, target: str, hands: Hands, deadline_ms: float = 5_000) -> Hybrid:
    near = Chain((REFERENCE,)).serve(spec)
    return Hybrid(spec.name, _far(spec, target, hands, deadline_ms), near, hands.waiting.append)


def _right(spec: ModelSpec, hybrid: Hybrid) -> str:
    """Run the self-test; whatever runs it, the answer is right. Gives what ran it."""
    backend, (probe,) = hybrid.backend, SelfTest(spec).probes
    np.testing.assert_allclose(
        backend.run(probe.input, Cancel())["probability"], probe.outputs["probability"], atol=1e-4
    )
    return backend.name


def test_the_server_serves_and_the_reader_is_told_where_things_go(
    bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands
) -> None:
    hybrid = _hybrid(bright, recorder[0], hands)
    assert (hybrid.candidate.name, hybrid.candidate.precision, hybrid.notice) == (THERE, "fp32", "")
    assert hybrid.whither == "The slice's grey values, without any header, go to 127.0.0.1."
    asked = len(recorder[1].requests)
    assert _right(bright, hybrid) == THERE
    assert len(recorder[1].requests) == asked + 1


def test_a_slow_server_is_waited_for_no_longer_than_the_deadline_and_then_left_alone(
    bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands
) -> None:
    target, wrote = recorder
    hybrid = _hybrid(bright, target, hands, deadline_ms=2_000)
    wrote.hold = threading.Event()
    asked = len(wrote.requests)
    assert [_right(bright, hybrid) for _ in range(3)] == [HERE] * 3
    assert len(wrote.requests) == asked + 3
    assert hybrid.notice == f"{THERE}: no answer within 2000 ms; this machine goes on."
    assert hybrid.why.startswith(f"{THERE}: no answer within 2000 ms; asked again after a pause of 1 s")
    assert (hybrid.candidate.name, hybrid.whither, hybrid.standing) == (HERE, "", "server left alone")
    assert [_right(bright, hybrid) for _ in range(5)] == [HERE] * 5
    assert len(wrote.requests) == asked + 3  # nothing was sent any more
    assert hands.waiting == []


def test_it_is_asked_again_in_the_background_and_serves_again_after_its_self_test(
    bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands
) -> None:
    target, wrote = recorder
    hybrid = _hybrid(bright, target, hands, deadline_ms=2_000)
    wrote.hold = threading.Event()
    while not hybrid.notice:
        _right(bright, hybrid)
    hands.later(1)
    assert [_right(bright, hybrid) for _ in range(2)] == [HERE] * 2
    assert len(hands.waiting) == 1
    assert hybrid.standing == "server asked again"
    hands.work()  # slow still: the pause is twice as long
    assert "asked again after a pause of 2 s" in hybrid.why
    wrote.hold.set()
    wrote.hold = None
    hands.later(1.9)
    _right(bright, hybrid)
    assert hands.waiting == []
    hands.later(0.1)
    assert _right(bright, hybrid) == HERE
    hands.work()
    assert hybrid.notice == f"{THERE} answers again."
    assert _right(bright, hybrid) == THERE


def test_a_server_that_comes_back_with_other_weights_does_not_serve(
    bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands
) -> None:
    target, wrote = recorder
    hybrid = _hybrid(bright, target, hands)
    good, wrote.models = wrote.models, {}
    while not hybrid.notice:
        _right(bright, hybrid)
    wrote.models = {"bright": replace(good["bright"], parameters={"sha256": "1" * 64, "precision": "fp32"})}
    hands.later(1)
    _right(bright, hybrid)
    hands.work()
    assert f"{THERE}: its bright has other weights than the model here; asked again after a pause of 2 s" in hybrid.why
    assert _right(bright, hybrid) == HERE


def test_a_server_that_is_gone_from_the_start_is_found_later(bright: ModelSpec, tmp_path: Path, hands: Hands) -> None:
    port = free_port()
    hybrid = _hybrid(bright, f"127.0.0.1:{port}", hands)
    assert (hybrid.candidate.name, hybrid.whither, hybrid.alive) == (HERE, "", True)
    assert f"{THERE}: cannot be reached" in hybrid.why
    assert hybrid.notice == f"{THERE}: cannot be reached; this machine goes on."
    assert _right(bright, hybrid) == HERE
    with recording({"bright": model_of(bright)}, port=port):
        given_up = time.monotonic() + 30
        while not hybrid.whither and time.monotonic() < given_up:  # gRPC waits a moment before it connects anew
            hands.later(60)
            _right(bright, hybrid)
            hands.work()
        assert _right(bright, hybrid) == THERE


def test_a_server_that_misses_the_self_test_does_not_serve(
    bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands
) -> None:
    target, wrote = recorder
    good = wrote.models["bright"].answer

    def off(tensor: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array + np.float32(0.01) for name, array in good(tensor).items()}

    wrote.models["bright"] = replace(wrote.models["bright"], answer=off)
    hybrid = _hybrid(bright, target, hands)
    assert f"{THERE}: self-test missed: off by 0.01, 0.0001 allowed" in hybrid.why
    assert _right(bright, hybrid) == HERE


def test_a_precision_without_a_tolerance_does_not_serve(
    bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands
) -> None:
    target, wrote = recorder
    said = {"sha256": bright.sha256, "precision": "int8"}
    wrote.models["bright"] = replace(wrote.models["bright"], parameters=said)
    hybrid = _hybrid(bright, target, hands)
    assert f"{THERE}: the model gives no tolerance for int8" in hybrid.why
    assert wrote.requests == []


def test_what_is_called_off_counts_for_nothing(bright: ModelSpec, recorder: tuple[str, Recorder], hands: Hands) -> None:
    hybrid, cancel = _hybrid(bright, recorder[0], hands), Cancel()
    cancel.cancel()
    for _ in range(5):
        with pytest.raises(Cancelled):
            hybrid.backend.run(np.zeros((1, 1, 256, 256), np.float32), cancel)
    assert _right(bright, hybrid) == THERE


def test_with_the_policy_remote_nothing_else_runs_the_model(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    target, wrote = recorder
    chain = chain_of(Remote(f"grpc://{target}", "remote", 5_000), None)
    assert isinstance(chain, FarChain)
    detector = OnnxDetector(bright, chain)
    volume = values.volume(np.zeros((3, 24, 24), np.int16))
    run = detector.start(volume)
    assert run.served.candidate.name == THERE
    wrote.models, good = {}, wrote.models
    with pytest.raises(UserError, match=r"^Bright cannot run on Server 127\.0\.0\.1 \(Request for unknown model\)\."):
        run.served.backend.run(np.zeros((1, 1, 256, 256), np.float32), Cancel())
    assert not run.served.alive
    with pytest.raises(UserError, match="cannot run on"):
        detector.start(volume)
    wrote.models = good
    assert detector.start(volume).served.alive


def test_other_weights_under_the_same_name_do_not_read_the_next_series(
    bright: ModelSpec, recorder: tuple[str, Recorder]
) -> None:
    target, wrote = recorder
    detector = OnnxDetector(bright, FarChain(Remote(f"grpc://{target}", "hybrid", 5_000), Chain((REFERENCE,))))
    volume = values.volume(np.zeros((3, 24, 24), np.int16))
    assert detector.start(volume).served.candidate.name == THERE
    asked = len(wrote.requests)
    assert detector.start(volume).served.candidate.name == THERE
    other = {"sha256": "1" * 64, "precision": "fp32"}
    wrote.models["bright"] = replace(wrote.models["bright"], parameters=other)
    served = detector.start(volume).served
    assert (served.candidate.name, served.whither) == (HERE, "")
    assert served.notice == f"{THERE}: its bright has other weights than the model here; this machine goes on."
    assert len(wrote.requests) == asked


def test_without_a_token_the_server_is_not_asked(bright: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERREAD_TOKEN", raising=False)
    remote = Remote(f"grpc://127.0.0.1:{free_port()}", "hybrid", token_env="OVERREAD_TOKEN")
    served = FarChain(remote, Chain((REFERENCE,))).serve(bright)
    assert "There is no token for 127.0.0.1 in the environment variable OVERREAD_TOKEN" in served.why
    assert served.candidate.name == HERE
    with pytest.raises(UserError, match="There is no token for"):
        FarChain(replace(remote, policy="remote"), Chain((REFERENCE,))).serve(bright)


def test_where_this_machine_can_run_nothing_the_server_does(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    remote = Remote(f"grpc://{recorder[0]}", "hybrid", 5_000)
    served = FarChain(remote, Chain((replace(REFERENCE, precision="int8"),))).serve(bright)
    assert _right(bright, served) == THERE


def test_further_networks_run_over_there_too(tmp_path: Path, hands: Hands) -> None:
    spec = read(tiny.peaks_model(tmp_path, contour=True))
    detector, outline = spec.graphs
    models = {
        "peaks": Model({"image": (1, 96, 96)}, {"boxes": (8, 5)}, lambda t: tiny.answers(detector.onnx(), t)),
        "peaks-contour": Model(
            {"crop": (1, 32, 32)}, {"inside": (1, 32, 32)}, lambda t: tiny.answers(outline.onnx(), t)
        ),
    }
    for model, graph in zip(models.values(), spec.graphs, strict=True):
        model.parameters = {"sha256": graph.sha256, "precision": "fp32"}
    with recording(models) as (target, wrote):
        hybrid = _hybrid(spec, target, hands)
        wrote.requests.clear()
        first, second = SelfTest(spec).probes
        hybrid.backend.run(first.input, Cancel())
        looked = hybrid.looks["contour"].run(second.input, Cancel())
        np.testing.assert_allclose(looked["inside"], second.outputs["inside"], atol=1e-4)
        assert [request.model_name for request in wrote.requests] == ["peaks", "peaks-contour"]


def test_without_a_policy_there_is_no_server() -> None:
    assert isinstance(chain_of(Remote("grpc://127.0.0.1:1"), None), Chain)
