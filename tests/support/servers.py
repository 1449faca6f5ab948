"""Inference servers for tests: the real Triton in a process of its own, and one that writes down what it is asked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from overread.infer.manifest import ModelSpec
from support.tiny import answers

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packaging"))

import triton_local
from shell import this_host

__all__ = ["this_host", "triton_local"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Triton:
    """A running Triton. What happens to it is what happens to servers: killed, frozen, gone on."""

    process: subprocess.Popen[str]
    port: int

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kill it and what it started, in the middle of whatever it does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open and nothing answers."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.killpg(self.process.pid, signal.SIGCONT)


@contextmanager
def triton(folder: Path, repository: Path, *words: str, port: int = 0) -> Iterator[Triton]:
    """Serve a repository; `folder` is what `triton_local.ready` gave. Entered when all models are ready."""
    port = port or free_port()
    line, variables = triton_local.command(folder, repository, f"--grpc-port={port}", *words)
    process = subprocess.Popen(
        line, env=variables, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if "Started GRPCInferenceService" in text:
            break
    else:
        process.wait(30)
        raise AssertionError("Triton did not start:\n" + "".join(said[-40:]))
    drain = threading.Thread(target=process.stderr.read, daemon=True)  # a full pipe would stop the server
    drain.start()
    server = Triton(process, port)
    try:
        yield server
    finally:
        if process.poll() is None:
            server.thaw()
            server.kill()
        drain.join(30)
        process.stderr.close()


def counted(running: Triton, model: str) -> tuple[int, int]:
    """How many requests a model has answered, and in how many runs."""
    with tritonclient.grpc.InferenceServerClient(running.target) as client:
        (told,) = client.get_inference_statistics(model).model_stats
        return told.inference_count, told.execution_count


def at_once(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Do it for all items at the same moment, each on a thread of its own."""
    together = threading.Barrier(len(items))

    def one(item: Any) -> Any:
        together.wait(30)
        return work(item)

    with ThreadPoolExecutor(len(items)) as workers:
        return list(workers.map(one, items))


Answer = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass
class Model:
    """What the recording server has: the shapes without the number of images, the parameters, and the network."""

    inputs: Mapping[str, Sequence[int]]
    outputs: Mapping[str, Sequence[int]]
    answer: Answer
    parameters: Mapping[str, str] = field(default_factory=dict)
    versions: Sequence[str] = ("1000000",)
    datatype: str = "FP32"


def model_of(spec: ModelSpec) -> Model:
    """A model of `support.models` as an honest server has it."""
    weights, shape = spec.graph.onnx(), (1, 256, 256)
    parameters = {"sha256": spec.sha256, "precision": "fp32"}
    return Model({"image": shape}, {"probability": shape}, lambda given: answers(weights, given), parameters)


class Recorder(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Speaks KServe v2 and keeps every request with the headers that came with it."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)
        self.requests: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.hold: threading.Event | None = None
        self.began = threading.Event()
        self.called_off = threading.Event()

    def _model(self, request: Any, context: Any) -> Model:
        self.headers.append(dict(context.invocation_metadata()))
        model = self.models.get(request.name if hasattr(request, "name") else request.model_name)
        version = request.version if hasattr(request, "version") else request.model_version
        if model is None or version not in model.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
        return model

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="recorder", version="1")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self._model(request, context)
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=model.versions)
        for tensors, shapes in ((answer.inputs, model.inputs), (answer.outputs, model.outputs)):
            for name, shape in shapes.items():
                tensors.add(name=name, datatype=model.datatype, shape=[-1, *shape])
        return answer

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelConfigResponse()
        for key, value in self._model(request, context).parameters.items():
            answer.config.parameters[key].string_value = value
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self._model(request, context)
        self.requests.append(request)
        self.began.set()
        if self.hold is not None:
            context.add_callback(self.called_off.set)
            self.hold.wait(30)
        (tensor,) = request.inputs
        given = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tensor.shape)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
        for name, array in model.answer(given).items():
            answer.outputs.add(name=name, datatype="FP32", shape=array.shape)
            answer.raw_output_contents.append(np.ascontiguousarray(array, np.float32).tobytes())
        return answer


@contextmanager
def recording(models: Mapping[str, Model], port: int = 0) -> Iterator[tuple[str, Recorder]]:
    """A server in this process, at a port that is free: HOST:PORT and what it wrote down."""
    recorder = Recorder(models)
    with ThreadPoolExecutor(8) as workers:
        server = grpc.server(workers)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(recorder, server)
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield f"127.0.0.1:{port}", recorder
        finally:
            if recorder.hold is not None:
                recorder.hold.set()
            server.stop(None).wait(10)
