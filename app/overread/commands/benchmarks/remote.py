"""The way to the inference server of the house and back: alone, with many readers at once, and with each model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.commands.benchmarks.rows import Row, alternately, milliseconds
from overread.commands.engine import liked, models
from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.infer.backends.chain import Chain
from overread.infer.backends.kserve import KServeBackend, Server, Unanswered, connected
from overread.infer.backends.remote import Remote
from overread.infer.detector import OnnxDetector
from overread.infer.graphs import Graph
from overread.infer.selftest import SelfTest
from overread.infer.triton import ECHO, ECHO_INPUT, ECHO_OUTPUT, ECHO_SHAPE

_TRIPS, _RUNS, _CLIENTS, _SECONDS = 300, 20, 8, 5
_PATIENCE_MS = 60_000.0  # how slow it is, is what is asked here
_WAY, _MANY = "remote-way", "remote-clients"


def remote(scratch: Path) -> list[Row]:
    """Round trips to the server that the settings name, whatever the policy; without one the rows say so."""
    where = replace(liked().remote, deadline_ms=_PATIENCE_MS)
    if not where.url:
        return _nothing("no server is named in the settings: [remote] url")
    try:
        server = Server(where)
        about = f"{server.about()} at {where.target}"
    except (UserError, Unanswered) as error:
        return _nothing(f"no server at {where.target}: {error}")
    rows = [*_echoed(where, server, about), *(_model(detector, server, about) for detector in models())]
    server.close()
    return rows


def _nothing(why: str) -> list[Row]:
    return [Row(_WAY, "ms", (), why), Row(_MANY, "requests/s", (), why)]


def _trip(server: Server) -> Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]:
    """There and back through the network that gives back what it gets."""
    graph = Graph(Path(), "", ECHO_INPUT, (ECHO_OUTPUT,))
    return lambda tensor: server.infer(ECHO, "1", graph, tensor, Cancel())


def _echoed(where: Remote, server: Server, about: str) -> list[Row]:
    tensor = np.random.default_rng(1).normal(size=(1, *ECHO_SHAPE)).astype(np.float32)
    trip, size = _trip(server), f"{ECHO_SHAPE[1]}² float32 there and back"
    try:
        if not np.array_equal(trip(tensor)[ECHO_OUTPUT], tensor):
            return _nothing(f"the {ECHO} of {about} does not give back what it gets")
        alone = milliseconds(lambda n: trip(tensor), _TRIPS)
        counts = _counted(where, tensor)
    except Unanswered as error:
        return _nothing(f"{about}: {error} (“overread models export-triton DIR --echo” writes {ECHO})")
    return [
        Row(_WAY, "ms", alone, f"{size}, {about}, one client", limit=6.0, on="p50"),
        Row(_MANY, "requests/s", counts, f"{size}, {about}, {_CLIENTS} clients at once", limit=500.0, on="rate"),
    ]


def _counted(where: Remote, tensor: NDArray[np.float32]) -> tuple[float, ...]:
    """How many requests of all clients were answered in each second. Unanswered where one was not."""
    together, seconds = threading.Barrier(_CLIENTS), np.zeros((_CLIENTS, _SECONDS))

    def client(number: int) -> None:
        server = Server(where)
        trip = _trip(server)
        trip(tensor)
        together.wait(30)
        began = time.perf_counter()
        while True:
            trip(tensor)
            second = int(time.perf_counter() - began)
            if second >= _SECONDS:
                break
            seconds[number, second] += 1
        server.close()

    with ThreadPoolExecutor(_CLIENTS) as workers:
        list(workers.map(client, range(_CLIENTS)))
    return tuple(seconds.sum(axis=0).tolist())


def _model(detector: OnnxDetector, server: Server, about: str) -> Row:
    """A slice of one model over there and, in turn, on this machine."""
    name = f"remote {detector.id}"
    probe, *_ = probes = SelfTest(detector.spec).probes
    try:
        far: KServeBackend = connected(server, detector.spec, probes)[0]
        near = Chain().serve(detector.spec).backend
        tensor = probe.input[:1]
        there, here = alternately(lambda: far.run(tensor, Cancel()), lambda: near.run(tensor, Cancel()), _RUNS)
    except (Unanswered, UserError) as error:
        return Row(name, "ms", (), f"{about}: {error}")
    size = "×".join(str(n) for n in tensor.shape[1:])
    return Row(name, "ms", there, f"{size}, {about}, {far.precision}", f"{near.name} {near.precision} here", here)
