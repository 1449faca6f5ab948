"""What goes to a server and what comes back, seen from the server: the tensor, the model's name, nothing else."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Cancel
from overread.infer.backends.kserve import Server, Unanswered, connected, wire_name, wire_version
from overread.infer.backends.remote import Remote
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from support import tiny
from support.servers import Recorder, free_port


def _server(target: str, deadline_ms: float = 10_000, **more: str) -> Server:
    return Server(Remote(f"grpc://{target}", "remote", deadline_ms, **more))


def _connected(server: Server, spec: ModelSpec) -> object:
    return connected(server, spec, SelfTest(spec).probes)


def test_the_answer_is_the_network_s(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    (backend,) = connected(_server(recorder[0]), bright, SelfTest(bright).probes)
    assert (backend.name, backend.precision) == ("Server 127.0.0.1", "fp32")
    (probe,) = SelfTest(bright).probes
    outputs = backend.run(probe.input, Cancel())
    np.testing.assert_array_equal(outputs["probability"], probe.outputs["probability"])


def test_what_leaves_is_the_tensor_and_never_a_header(
    bright: ModelSpec, recorder: tuple[str, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERREAD_TOKEN", "s3cret")
    target, wrote = recorder
    (backend,) = connected(_server(target, token_env="OVERREAD_TOKEN"), bright, SelfTest(bright).probes)
    tensor = np.arange(2 * 256 * 256, dtype=np.float32).reshape(2, 1, 256, 256)
    backend.run(tensor[::-1], Cancel())
    (request,) = wrote.requests
    assert {field.name for field, _ in request.ListFields()} == {
        "model_name",
        "model_version",
        "inputs",
        "outputs",
        "raw_input_contents",
    }
    assert (request.model_name, request.model_version) == ("bright", "1000000")
    (sent,), (wanted,) = request.inputs, request.outputs
    assert (sent.name, sent.datatype, list(sent.shape)) == ("image", "FP32", [2, 1, 256, 256])
    assert not sent.parameters
    assert wanted.name == "probability"
    assert list(request.raw_input_contents) == [tensor[::-1].tobytes()]
    assert all(set(headers) == {"user-agent", "authorization"} for headers in wrote.headers)
    assert {headers["authorization"] for headers in wrote.headers} == {"Bearer s3cret"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"parameters": {"sha256": "0" * 64, "precision": "fp32"}}, "its bright has other weights than the model here"),
        ({"parameters": {}}, "its bright has other weights than the model here"),
        ({"inputs": {"picture": (1, 256, 256)}}, "its bright has other inputs or outputs"),
        ({"outputs": {"odds": (1, 256, 256)}}, "its bright has other inputs or outputs"),
        ({"inputs": {"image": (1, 128, 128)}}, "its bright has another shape: image [-1, 1, 128, 128]"),
        ({"inputs": {"image": (256, 256)}}, "its bright has another shape: image [-1, 256, 256]"),
        ({"datatype": "FP64"}, "its bright has another shape: image [-1, 1, 256, 256]"),
        ({"versions": ("2000000",)}, "Request for unknown model"),
    ],
)
def test_another_model_under_that_name_is_refused_with_the_reason(
    bright: ModelSpec, recorder: tuple[str, Recorder], change: dict[str, object], why: str
) -> None:
    target, wrote = recorder
    wrote.models["bright"] = replace(wrote.models["bright"], **change)
    with pytest.raises(Unanswered) as refused:
        _connected(_server(target), bright)
    assert str(refused.value) == why
    assert wrote.requests == []  # not one image left


def test_a_server_that_does_not_say_its_precision_is_refused(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    target, wrote = recorder
    wrote.models["bright"] = replace(wrote.models["bright"], parameters={"sha256": bright.sha256})
    with pytest.raises(Unanswered, match="does not say in which precision"):
        _connected(_server(target), bright)


def test_an_answer_that_is_not_the_one_asked_for_is_none(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    target, wrote = recorder
    (backend,) = connected(_server(target), bright, SelfTest(bright).probes)
    tensor = np.zeros((2, 1, 256, 256), np.float32)
    for answer in ({}, {"probability": np.zeros((1, 1, 256, 256))}):
        wrote.models["bright"] = replace(wrote.models["bright"], answer=lambda _, given=answer: given)
        with pytest.raises(Unanswered, match="is not the one that was asked for"):
            backend.run(tensor, Cancel())


def test_a_slow_server_gives_no_answer(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    target, wrote = recorder
    (backend,) = connected(_server(target, deadline_ms=1_000), bright, SelfTest(bright).probes)
    wrote.hold = threading.Event()
    with pytest.raises(Unanswered, match=r"^no answer within 1000 ms$"):
        backend.run(np.zeros((1, 1, 256, 256), np.float32), Cancel())
    assert wrote.called_off.wait(10)  # and is told that nobody waits any more


def test_nobody_there_is_said_plainly(bright: ModelSpec) -> None:
    with pytest.raises(Unanswered, match=r"^cannot be reached$"):
        _connected(_server(f"127.0.0.1:{free_port()}"), bright)


def test_a_request_is_called_off_over_there_too(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    target, wrote = recorder
    (backend,) = connected(_server(target), bright, SelfTest(bright).probes)
    wrote.hold = threading.Event()
    cancel, outcome = Cancel(), []

    def work() -> None:
        try:
            outcome.append(backend.run(np.zeros((1, 1, 256, 256), np.float32), cancel))
        except Cancelled:
            outcome.append("cancelled")

    thread = threading.Thread(target=work)
    thread.start()
    assert wrote.began.wait(10)
    cancel.cancel()
    thread.join(10)
    assert outcome == ["cancelled"]
    assert wrote.called_off.wait(10)


def test_what_was_called_off_before_is_not_sent(bright: ModelSpec, recorder: tuple[str, Recorder]) -> None:
    target, wrote = recorder
    (backend,) = connected(_server(target), bright, SelfTest(bright).probes)
    cancel = Cancel()
    cancel.cancel()
    with pytest.raises(Cancelled):
        backend.run(np.zeros((1, 1, 256, 256), np.float32), cancel)
    assert wrote.requests == []


def test_names_and_versions_on_the_wire(tmp_path: Path) -> None:
    spec = read(tiny.peaks_model(tmp_path, contour=True))
    assert [wire_name(spec, graph) for graph in spec.graphs] == ["peaks", "peaks-contour"]
    assert [wire_version(version) for version in ("1.0.0", "1.10.2", "0.0.1")] == ["1000000", "1010002", "1"]


@pytest.mark.parametrize("version", ["1.0", "1.0.0rc1", "0.0.0", "1.1000.0", "latest"])
def test_a_version_that_no_server_can_count_is_said(version: str) -> None:
    with pytest.raises(UserError, match=f"cannot count the version {version}"):
        wire_version(version)
