"""A sitting with a server: what ran each slice is in the finding, and the reader hears what leaves and what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.far import FarChain
from overread.infer.backends.remote import Remote
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from overread.session.state import Phase, Reading
from support.series import head_like, write_series
from support.servers import Recorder, model_of, recording
from support.sitting import Sitting

MODEL = "glioma-flair"


@pytest.fixture
def spec(models: Path) -> ModelSpec:
    return read(models / MODEL)


@pytest.fixture
def recorder(spec: ModelSpec) -> Iterator[tuple[str, Recorder]]:
    with recording({MODEL: model_of(spec)}) as running:
        yield running


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_series(tmp_path / "study", head_like((12, 32, 32)), spacing=(4.0, 4.0), step=4.0)
    return tmp_path / "study"


def _sitting(sit: Callable[..., Sitting], spec: ModelSpec, target: str, policy: str) -> Sitting:
    chain = FarChain(Remote(f"grpc://{target}", policy, 5_000), Chain((REFERENCE,)))
    return sit([OnnxDetector(spec, chain)])


def _reading(sitting: Sitting) -> Reading:
    return sitting.session.runs.readings[MODEL]


def test_the_finding_and_the_reader_know_what_ran_it_and_where_slices_went(
    sit: Callable[..., Sitting], spec: ModelSpec, recorder: tuple[str, Recorder], study: Path
) -> None:
    sitting = _sitting(sit, spec, recorder[0], "hybrid")
    sitting.open(study)
    reading = _reading(sitting)
    assert (reading.phase, reading.backend, reading.precision) == (Phase.DONE, "Server 127.0.0.1", "fp32")
    assert reading.whither == "The slice's grey values, without any header, go to 127.0.0.1."
    (finding,) = sitting.session.shown_findings
    assert finding.model is not None
    assert finding.model.backend == "Server 127.0.0.1 fp32"
    assert len([request for request in recorder[1].requests if request.model_name == MODEL]) >= 12
    assert sitting.errors == []


def test_a_server_that_dies_under_way_costs_nothing_but_its_own_speed(
    sit: Callable[..., Sitting], spec: ModelSpec, recorder: tuple[str, Recorder], study: Path
) -> None:
    target, wrote = recorder
    good, (probe,) = wrote.models[MODEL], SelfTest(spec).probes
    left = [None] * 4

    def answer(given: np.ndarray) -> Mapping[str, np.ndarray]:
        if not np.array_equal(given, probe.input):
            left.pop()
            if not left:
                wrote.models.clear()
        return good.answer(given)

    wrote.models[MODEL] = replace(good, answer=answer)
    sitting = _sitting(sit, spec, target, "hybrid")
    sitting.open(study)
    reading = _reading(sitting)
    assert (reading.phase, reading.done, reading.whither) == (Phase.DONE, 12, "")
    assert reading.standing == "server left alone"
    assert reading.notice == "Server 127.0.0.1: Request for unknown model; this machine goes on."
    assert "Server 127.0.0.1: Request for unknown model; asked again" in reading.why
    (finding,) = sitting.session.shown_findings
    assert finding.model is not None
    assert finding.model.backend == "Server 127.0.0.1 fp32, ONNX Runtime CPU fp32"
    assert sitting.errors == []


def test_where_nothing_but_the_server_may_read_the_reader_hears_why_nothing_is_read(
    sit: Callable[..., Sitting], spec: ModelSpec, recorder: tuple[str, Recorder], study: Path
) -> None:
    target, wrote = recorder
    wrote.models.clear()
    sitting = _sitting(sit, spec, target, "remote")
    sitting.open(study)
    reading = _reading(sitting)
    assert reading.phase is Phase.FAILED
    assert reading.text.startswith("Glioma-flair cannot run on Server 127.0.0.1 (Request for unknown model).")
    assert sitting.session.findings == ()
