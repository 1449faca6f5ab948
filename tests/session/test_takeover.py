"""What the reader sees when another backend takes over: because it is faster, or because the first one failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overread.infer.detector import OnnxDetector
from overread.infer.manifest import find_models
from overread.infer.selftest import Probe
from overread.session.state import Phase, Reading
from support.engines import Device, chain_of
from support.series import head_like, write_series
from support.sitting import Sitting

MODEL = "glioma-flair"
SLICES = 40


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLAIR series of forty slices."""
    folder = tmp_path_factory.mktemp("study")
    write_series(folder, head_like((SLICES, 32, 32)), spacing=(4.0, 4.0), step=4.0)
    return folder


def reading(sitting: Sitting) -> Reading:
    return sitting.session.runs.readings[MODEL]


def test_a_faster_backend_takes_over_and_the_reader_sees_which_and_how_fast(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    (spec,) = find_models((models,))[0]
    chain = chain_of(spec, first=Device(delayed(0.02)), quick=Device(answered))
    sitting = sit([OnnxDetector(spec, chain)])
    seen: list[tuple[str, str]] = []
    sitting.session.reading_changed.connect(lambda new: seen.append((new.backend, new.proof)))
    sitting.open(study)
    assert [backend for backend, _ in dict.fromkeys(seen)] == ["", "first", "quick"]
    now = reading(sitting)
    assert now.backend == "quick"
    assert now.proof.startswith("off by 0, ")
    assert now.why.startswith("first fp32: passes, at ")
    assert now.median_ms is not None
    assert not sitting.session.jobs.running


def test_a_backend_that_fails_is_one_line_and_the_series_is_read(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    (spec,) = find_models((models,))[0]
    runs: list[int] = []

    def breaks(probe: Probe, tensor: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        runs.append(len(tensor))
        if len(runs) > 20:
            raise RuntimeError("the device was lost")
        return answered(probe, tensor)

    sitting = sit([OnnxDetector(spec, chain_of(spec, gone=Device(breaks), other=Device(delayed(0.005))))])
    sitting.open(study)
    now = reading(sitting)
    assert now.phase in (Phase.DONE, Phase.NOTHING)
    assert (now.backend, now.done) == ("other", SLICES)
    assert now.notice == "gone fp32 failed (the device was lost); other fp32 goes on."
    assert "gone fp32: failed while it ran (the device was lost)" in now.why
    assert sitting.errors == []
    (finding,) = sitting.session.shown_findings
    assert finding.model is not None
    assert finding.model.backend == "gone fp32, other fp32"


def answered(probe: Probe, tensor: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
    """What the self-test expects of the self-test's image, and bright pixels of any other."""
    if tensor.shape == probe.input.shape and np.array_equal(tensor, probe.input):
        return dict(probe.outputs)
    return {"probability": np.asarray(tensor > 1.0, np.float32)}


def delayed(seconds: float) -> Callable[[Probe, NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]:
    def run(probe: Probe, tensor: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        time.sleep(seconds)
        return answered(probe, tensor)

    return run
