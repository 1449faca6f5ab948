"""What might run a model here, before anybody has tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """One link of the chain: a provider of ONNX Runtime and the precision it is asked for."""

    provider: str
    name: str
    precision: str
    options: tuple[tuple[str, str], ...] = ()
