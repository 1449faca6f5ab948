"""A small model, and a server that has it and keeps what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from overread.infer.manifest import ModelSpec, read
from support.models import bright_model
from support.servers import Recorder, model_of, recording


@pytest.fixture
def bright(tmp_path: Path) -> ModelSpec:
    return read(bright_model(tmp_path))


@pytest.fixture
def recorder(bright: ModelSpec) -> Iterator[tuple[str, Recorder]]:
    with recording({"bright": model_of(bright)}) as running:
        yield running
