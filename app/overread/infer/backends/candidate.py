"""What might run a model here, before anybody has tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from overread.domain.ports import Backend
from overread.infer.graphs import Graph


@dataclass(frozen=True)
class Candidate:
    """One link of the chain: what computes (a provider of ONNX Runtime, a device of OpenVINO) and in which precision.

    `options` are the provider's own; `engine` is the library that it belongs to.
    """

    provider: str
    name: str
    precision: str
    options: tuple[tuple[str, str], ...] = ()
    engine: str = "onnxruntime"

    @property
    def label(self) -> str:
        """What the reader is told: "ONNX Runtime CPU fp32"."""
        return f"{self.name} {self.precision}"


@dataclass(frozen=True)
class Lack:
    """Why a link cannot even be tried, and what to do about it ("" where nothing can be done)."""

    why: str
    fix: str = ""


class Engine(Protocol):
    """A library that runs networks."""

    def devices(self) -> tuple[Candidate, ...]:
        """Links of its own that only some machines have; nothing where the library is not installed."""

    def lack(self, candidate: Candidate) -> Lack | None:
        """What is missing for a link, as far as that can be told without starting it."""

    def remedy(self, candidate: Candidate) -> str:
        """What to do about a link that does not start though nothing is missing; "" where nothing can be done."""

    def identity(self, candidate: Candidate) -> str:
        """The library's version, the device, its driver and the threads: a verdict holds for these."""

    def start(self, graph: Graph, candidate: Candidate, folder: Path | None, *, cores: int = 0) -> Backend:
        """Load a network. What was compiled may be kept in `folder`. Raises anything where that does not work.

        On the CPU it runs on so many cores; 0 is all but one.
        """
