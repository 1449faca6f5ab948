"""A model on a server that speaks KServe v2, the Open Inference Protocol, over gRPC: Triton, say.

What goes over the wire is the model's name and version and the tensor; an answer is the tensors by name.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Cancel
from overread.infer.backends.remote import Remote
from overread.infer.graphs import Graph
from overread.infer.manifest import ModelSpec
from overread.infer.selftest import Probe

F32 = NDArray[np.float32]
# A server that comes back is noticed within a second; by default gRPC waits for up to two minutes. Messages may be as
# large as they are: a fundus photograph has 11.5 MB. What is meant for the server goes through no proxy.
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


def spoken() -> Any:
    """The library that speaks the protocol. UserError where the extra is not installed."""
    try:
        import tritonclient.grpc  # a slow import
    except ImportError as error:
        raise UserError("What speaks with inference servers is not installed.", "Install overread[remote].") from error
    return tritonclient.grpc


class Unanswered(Exception):
    """The server gave no answer, or none that can be used; the text says why."""


def wire_name(spec: ModelSpec, graph: Graph) -> str:
    """The name of a network on a server: the model's id, and for its other networks their file's name too."""
    return spec.id if graph == spec.graph else f"{spec.id}-{graph.path.stem}"


def wire_version(version: str) -> str:
    """A version as servers count them, in whole numbers: "1.10.2" is "1010002". UserError where it has other parts."""
    parts = re.fullmatch(r"(\d{1,6})\.(\d{1,3})\.(\d{1,3})", version)
    if parts is None or not any(map(int, parts.groups())):
        raise UserError(f"A server cannot count the version {version}.", "Versions are three numbers: 1.10.2.")
    major, minor, patch = map(int, parts.groups())
    return str(major * 1_000_000 + minor * 1_000 + patch)


@dataclass(frozen=True)
class Claim:
    """What a server says of one of its models: the weights it serves, and the precision it computes in."""

    sha256: str
    precision: str


class Server:
    """One connection to a server, for all models and threads."""

    def __init__(self, remote: Remote) -> None:
        """Nothing is sent yet. UserError where the extra is not installed, or the token or a certificate is missing."""
        self.remote = remote
        self._protocol: Any = spoken()
        self._headers = remote.headers()
        self._deadline_s = remote.deadline_ms / 1000
        try:
            self._client: Any = self._protocol.InferenceServerClient(
                remote.target,
                ssl=remote.encrypted,
                root_certificates=remote.ca or None,
                private_key=remote.key or None,
                certificate_chain=remote.cert or None,
                channel_args=_CHANNEL,
            )
        except OSError as error:
            raise UserError(
                f"A certificate for {remote.host} cannot be read: {error.filename}: {error.strerror}.",
                "Correct it in the settings.",
            ) from error

    @property
    def name(self) -> str:
        """What serves, in the reader's words."""
        return f"Server {self.remote.host}"

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def about(self) -> str:
        """What the server calls itself, with its version. Unanswered."""
        said = self._asked(self._client.get_server_metadata)
        return f"{said.name} {said.version}".strip()

    def claim(self, name: str, version: str, graph: Graph, probe: Probe) -> Claim:
        """What the server says of a model. Unanswered where that is not the network that `graph` is."""
        said = self._asked(self._client.get_model_metadata, name, version)
        inputs = {tensor.name: tensor for tensor in said.inputs}
        outputs = {tensor.name: tensor for tensor in said.outputs}
        if set(inputs) != {graph.input} or not set(graph.outputs) <= set(outputs):
            raise Unanswered(f"its {name} has other inputs or outputs")
        pairs = [(inputs[graph.input], probe.input), *((outputs[key], probe.outputs[key]) for key in graph.outputs)]
        for tensor, array in pairs:
            if tensor.datatype != "FP32" or not _fits(tensor.shape, array.shape):
                raise Unanswered(f"its {name} has another shape: {tensor.name} {list(tensor.shape)}")
        parameters = self._asked(self._client.get_model_config, name, version).config.parameters
        claimed = {key: parameters[key].string_value for key in ("sha256", "precision") if key in parameters}
        if claimed.get("sha256") != graph.sha256:
            raise Unanswered(f"its {name} has other weights than the model here")
        if not claimed.get("precision"):
            raise Unanswered(f"it does not say in which precision {name} computes")
        return Claim(claimed["sha256"], claimed["precision"])

    def infer(self, name: str, version: str, graph: Graph, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Have a model run once. Cancelled where it was called off, Unanswered where no usable answer came in time."""
        given = self._protocol.InferInput(graph.input, tensor.shape, "FP32")
        given.set_data_from_numpy(np.ascontiguousarray(tensor, dtype=np.float32))
        wanted = [self._protocol.InferRequestedOutput(output) for output in graph.outputs]
        answered: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        if cancel.cancelled:
            raise Cancelled
        call = self._client.async_infer(
            name,
            [given],
            lambda result, error: answered.put((result, error)),
            version,
            wanted,
            client_timeout=self._deadline_s,
            headers=self._headers,
        )
        forget = cancel.on_cancel(call.cancel)
        try:
            result, error = answered.get()
        finally:
            forget()
        if cancel.cancelled:
            raise Cancelled
        if error is not None:
            raise Unanswered(self._reason(error)) from error
        try:
            arrays = {output: result.as_numpy(output) for output in graph.outputs}
        except ValueError as broken:
            raise Unanswered("its answer is damaged") from broken
        if any(array is None or array.dtype != np.float32 or len(array) != len(tensor) for array in arrays.values()):
            raise Unanswered("its answer is not the one that was asked for")
        return arrays

    def _asked(self, question: Callable[..., Any], *words: str) -> Any:
        try:
            return question(*words, client_timeout=self._deadline_s, headers=self._headers)
        except self._protocol.InferenceServerException as error:
            raise Unanswered(self._reason(error)) from error

    def _reason(self, error: Any) -> str:
        """What went wrong, in plain words; what the server says itself in its own."""
        status = str(error.status() or "")
        said = (str(error.message() or "").splitlines() or [""])[0]
        if status.endswith("DEADLINE_EXCEEDED"):
            return f"no answer within {self.remote.deadline_ms:g} ms"
        if status.endswith("UNAVAILABLE") and ("connect" in said.lower() or "socket" in said.lower()):
            return "cannot be reached"
        if status.endswith(("UNAUTHENTICATED", "PERMISSION_DENIED")) or "restricted" in said:
            return "does not let us in: the token is missing or wrong"
        return said[:200] or status


class KServeBackend:
    """One network of a model on a server."""

    def __init__(self, server: Server, name: str, version: str, graph: Graph, precision: str) -> None:
        self._server, self._model, self._version, self._graph = server, name, version, graph
        self._precision = precision

    @property
    def name(self) -> str:
        """What serves."""
        return self._server.name

    @property
    def precision(self) -> str:
        """The number format that the server says it computes in."""
        return self._precision

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run once, over there; Cancelled where it was called off, Unanswered where no usable answer came in time."""
        return self._server.infer(self._model, self._version, self._graph, tensor, cancel)


def connected(server: Server, spec: ModelSpec, probes: Sequence[Probe]) -> tuple[KServeBackend, ...]:
    """What runs each of the model's networks on the server. Unanswered where the server has not the very same ones.

    All of them compute in one precision, the one that the server gives for the first. UserError for a version that
    no server can count.
    """
    version = wire_version(spec.version)
    names = [wire_name(spec, graph) for graph in spec.graphs]
    claims = [
        server.claim(name, version, graph, probe) for name, graph, probe in zip(names, spec.graphs, probes, strict=True)
    ]
    if len({claim.precision for claim in claims}) > 1:
        raise Unanswered("its networks compute in several precisions")
    return tuple(
        KServeBackend(server, name, version, graph, claims[0].precision)
        for name, graph in zip(names, spec.graphs, strict=True)
    )


def _fits(said: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether an array of that shape is what the server speaks of; −1 is any size, and so is the number of images."""
    return len(said) == len(shape) and all(size in (-1, want) for size, want in zip(said[1:], shape[1:], strict=True))
