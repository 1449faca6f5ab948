"""Engines made up for tests: what they compute, how long they take and when they fail is the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled
from overread.domain.ports import Backend, Cancel
from overread.infer.backends.candidate import Candidate, Lack
from overread.infer.backends.chain import Chain
from overread.infer.backends.judge import Link, Verdict
from overread.infer.backends.serving import Served
from overread.infer.graphs import Graph
from overread.infer.manifest import ModelSpec
from overread.infer.selftest import Probe, SelfTest

F32 = NDArray[np.float32]


def link(name: str, precision: str = "fp32") -> Candidate:
    """A link of a made-up engine."""
    return Candidate(name, name, precision, engine="made-up")


@dataclass
class Device:
    """One made-up device: what its runs give, what they raise, what is missing.

    `run` gets the self-test's probe and the input. By default it answers with what the self-test expects.
    """

    run: Callable[[Probe, F32], Mapping[str, F32]] = lambda probe, tensor: dict(probe.outputs)
    start: Callable[[], None] = lambda: None
    lack: Lack | None = None
    identity: str = "1"
    started: int = 0
    sizes: list[int] = field(default_factory=list)


class MadeUp:
    """An engine of made-up devices, by their names."""

    def __init__(self, spec: ModelSpec, **devices: Device) -> None:
        self.given = devices
        self._probes = dict(zip((graph.path for graph in spec.graphs), SelfTest(spec).probes, strict=True))

    def devices(self) -> tuple[Candidate, ...]:
        return ()

    def lack(self, candidate: Candidate) -> Lack | None:
        return self.given[candidate.provider].lack

    def remedy(self, candidate: Candidate) -> str:
        return f"mend {candidate.name}"

    def identity(self, candidate: Candidate) -> str:
        return self.given[candidate.provider].identity

    def start(self, graph: Graph, candidate: Candidate, folder: Path | None) -> Backend:
        device = self.given[candidate.provider]
        device.started += 1
        device.start()
        return Network(candidate, device, self._probes[graph.path])


@dataclass
class Network:
    """A network on a made-up device."""

    candidate: Candidate
    device: Device
    probe: Probe

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def precision(self) -> str:
        return self.candidate.precision

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        self.device.sizes.append(len(tensor))
        return self.device.run(self.probe, tensor)


def chain_of(spec: ModelSpec, folder: Path | None = None, **devices: Device) -> Chain:
    """A chain of made-up devices in fp32, tried in the order given."""
    return Chain([link(name) for name in devices], folder, {"made-up": MadeUp(spec, **devices)})


class Decided:
    """A judge that has made up its mind: these backends pass, one for each of the model's networks."""

    def __init__(self, first: Backend, looks: Mapping[str, Backend]) -> None:
        self._backends, self.looks = (first, *looks.values()), tuple(looks)

    def known(self, candidate: Candidate) -> Verdict:
        return Verdict(candidate, True, "", 0.0, 1.0)

    def opened(self, verdict: Verdict) -> Link:
        return Link(verdict, self._backends)


def served_by(backend: Backend, **looks: Backend) -> Served:
    """A model that is served by what a test has made, and by nothing else."""
    return Served("Bright", [Candidate("", backend.name, backend.precision)], Decided(backend, looks))


def called_off(backend: Backend, tensor: F32) -> bool:
    """Call a run off from another thread as soon as it has begun; whether it ended for that, and gave nothing."""
    begun = threading.Event()
    outcome: list[object] = []

    class Watched(Cancel):
        def on_cancel(self, action: Callable[[], None]) -> Callable[[], None]:
            begun.set()
            return super().on_cancel(action)

    watched = Watched()

    def work() -> None:
        try:
            outcome.append(backend.run(tensor, watched))
        except Cancelled:
            outcome.append("cancelled")

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    watched.cancel()
    thread.join(60)
    return outcome == ["cancelled"]
