"""Networks in OpenVINO: on the CPU, and on Intel's GPUs and NPUs where there are any."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled
from overread.domain.ports import Backend, Cancel
from overread.infer.backends.candidate import Candidate, Lack
from overread.infer.backends.machine import threads
from overread.infer.graphs import Graph

F32 = NDArray[np.float32]

ENGINE = "openvino"
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
# A run that was called off is waited for at least so long, and at most twice as long.
_PATIENCE_MS = 30


def _imported() -> Any:
    """The library without what it would tell its makers: importing it sends an event through openvino_telemetry.

    Where that package cannot be imported, OpenVINO goes on with a stub of its own that sends nothing.
    """
    cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)  # None bars an import
    import openvino

    return openvino


class OpenVino:
    """OpenVINO as an engine of the chain."""

    @cached_property
    def _core(self) -> Any:
        """The one entrance to all devices; None where the library is not installed or does not start."""
        if find_spec(ENGINE) is None:
            return None
        try:
            return _imported().Core()
        except (ImportError, OSError, RuntimeError):
            return None

    @property
    def available(self) -> tuple[str, ...]:
        """The devices that it finds here."""
        return () if self._core is None else tuple(self._core.available_devices)

    def devices(self) -> tuple[Candidate, ...]:
        """Its GPUs and NPUs, in half precision: what they are built for."""
        found = [name for name in self.available if name.startswith(("GPU", "NPU"))]
        return tuple(Candidate(name, f"OpenVINO {name}", "fp16", engine=ENGINE) for name in found)

    def lack(self, candidate: Candidate) -> Lack | None:
        """A library that is not installed, or a number format that the device does not compute in."""
        if self._core is None:
            missing = "is not installed" if find_spec(ENGINE) is None else "does not start"
            return Lack(f"openvino {missing}", 'pip install "overread[openvino]"')
        if candidate.precision == "bf16" and "BF16" not in self._capabilities(candidate.provider):
            return Lack("this processor does not compute in bf16")
        return None

    def remedy(self, candidate: Candidate) -> str:
        """A GPU or NPU may want a newer driver."""
        return "" if candidate.provider == "CPU" else "update the device's driver"

    def _capabilities(self, device: str) -> tuple[str, ...]:
        return tuple(self._core.get_property(device, "OPTIMIZATION_CAPABILITIES"))

    def identity(self, candidate: Candidate) -> str:
        """The version, the device's full name, the driver where the device tells it, and the threads."""
        name = self._core.get_property(candidate.provider, "FULL_DEVICE_NAME")
        told = self._core.get_property(candidate.provider, "SUPPORTED_PROPERTIES")
        driver = next((key for key in told if key.endswith("DRIVER_VERSION")), "")
        own = f"driver {self._core.get_property(candidate.provider, driver)}" if driver else f"{threads()} threads"
        return f"openvino {version(ENGINE)}, {name}, {own}"

    def start(self, graph: Graph, candidate: Candidate, folder: Path | None, *, cores: int = 0) -> Backend:
        """Compile a network; the compiled one is kept in `folder`."""
        return OpenVinoBackend(self._core, graph, candidate, folder, cores or threads())


class OpenVinoBackend:
    """A network compiled by OpenVINO for one device. One run at a time.

    Where the graph takes any number of images it is compiled twice: for one image, which lets the compiler lay out
    memory beforehand (a tenth to a quarter less time on the models here), and with the first batch for any number.
    """

    def __init__(self, core: Any, graph: Graph, candidate: Candidate, folder: Path | None, cores: int) -> None:
        """Compile the weights. RuntimeError where the device computes in another precision than was asked for."""
        properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[candidate.precision],
        }
        if candidate.provider == "CPU":
            # Not pinned: a thread tied to one core waits there whenever the window's thread has that core.
            properties |= {"INFERENCE_NUM_THREADS": cores, "ENABLE_CPU_PINNING": False}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            properties["CACHE_DIR"] = str(folder)
        self._core, self._candidate, self._graph, self._properties = core, candidate, graph, properties
        self._lock = threading.Lock()
        self._alone = self._compiled(alone=True)

    @property
    def name(self) -> str:
        """What serves."""
        return self._candidate.name

    @property
    def precision(self) -> str:
        """The number format that it computes in."""
        return self._candidate.precision

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run once; ends early with Cancelled when called off."""
        with self._lock:
            if cancel.cancelled:
                raise Cancelled
            return (self._alone if len(tensor) == 1 else self._together).run(tensor, cancel)

    @cached_property
    def _together(self) -> Compiled:
        return self._compiled(alone=False)

    def _compiled(self, *, alone: bool) -> Compiled:
        model = self._core.read_model(self._graph.onnx())
        shape = model.input(self._graph.input).partial_shape
        if alone and shape.rank.is_static and shape[0].is_dynamic:
            shape[0] = 1
            model.reshape({self._graph.input: shape})
        compiled = self._core.compile_model(model, self._candidate.provider, self._properties)
        given, hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string(), _HINTS[self.precision]
        if given != hint:
            raise RuntimeError(f"the device computes in {given}, not in {hint}")
        return Compiled(compiled, self._graph)


class Compiled:
    """A compiled network with the requests that run it. One run at a time.

    A run is called off between two operations of the network, and one operation on a large patch may take more than a
    second. Nobody waits for that: the request is left to end by itself while the other one takes the next run. Both are
    made beforehand, as making one waits for what is at work.
    """

    def __init__(self, compiled: Any, graph: Graph) -> None:
        self._graph = graph
        self._requests = [compiled.create_infer_request() for _ in range(2)]
        self._left: list[Any] = []

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run once; ends early with Cancelled when called off."""
        request = self._free(cancel)
        request.start_async({self._graph.input: np.ascontiguousarray(tensor)})
        forget = cancel.on_cancel(request.cancel)
        try:
            done = False
            while not done and not cancel.cancelled:
                done = request.wait_for(_PATIENCE_MS)
            done = done or request.wait_for(_PATIENCE_MS)
        except Exception as error:
            if cancel.cancelled:
                raise Cancelled from error
            raise
        finally:
            forget()
        if not done:
            self._left.append(request)
            raise Cancelled
        return {name: np.array(request.get_tensor(name).data, dtype=np.float32) for name in self._graph.outputs}

    def _free(self, cancel: Cancel) -> Any:
        """A request that nothing runs; Cancelled where none became free before the work was called off."""
        while True:
            self._left = [request for request in self._left if not _ended(request, 0)]
            for request in self._requests:
                if request not in self._left:
                    return request
            if cancel.cancelled:
                raise Cancelled
            _ended(self._left[0], _PATIENCE_MS)


def _ended(request: Any, wait_ms: int) -> bool:
    """Whether a request that was called off is at work no more."""
    try:
        return bool(request.wait_for(wait_ms))
    except RuntimeError:  # that is how it says that it was called off
        return True
