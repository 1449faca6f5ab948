"""The benchmark of whole volumes: ours labels them as MONAI in torch does, and says so where there is no MONAI."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.transform import resize

from overread import paths
from overread.commands.benchmarks import volume as bench
from overread.commands.benchmarks.eager import torch_net
from overread.dicom.demo import FLAIR
from overread.domain.ports import Cancel
from overread.domain.volume import Volume
from overread.imaging.phantom import make_head
from overread.imaging.phantom_mr import acquire
from overread.infer.backends.chain import CHAIN, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.inputs import Patches
from overread.infer.manifest import read
from support.values import volume

FOLDER = paths.resources() / "bench" / "volume"


@pytest.fixture(scope="module")
def flair() -> Volume:
    """The FLAIR of the synthetic head."""
    return volume(acquire(make_head(), FLAIR.scan), FLAIR.scan.grid, role="FLAIR")


@pytest.fixture(scope="module")
def detector() -> OnnxDetector:
    return OnnxDetector(read(FOLDER), Chain([link for link in CHAIN if link.label == "ONNX Runtime CPU fp32"]))


def patches_of(detector: OnnxDetector) -> Patches:
    assert detector.spec.patches is not None
    return detector.spec.patches


@pytest.fixture(scope="module")
def theirs(detector: OnnxDetector, flair: Volume) -> np.ndarray:
    """The logits that MONAI's sliding window gives with the same weights in torch, shape (classes, k, j, i)."""
    torch = pytest.importorskip("torch")
    inferers = pytest.importorskip("monai.inferers")
    values, _ = detector.start_whole(flair).tensor(Cancel())
    inferer = inferers.SlidingWindowInferer(patches_of(detector).size, overlap=0.5, mode="gaussian", sigma_scale=0.125)
    with torch.inference_mode():
        return inferer(torch.from_numpy(values[None]), torch_net(detector.spec.weights))[0].numpy()


@pytest.mark.filterwarnings("ignore")  # MONAI's imports warn
def test_labels_are_those_of_monai_in_torch(detector: OnnxDetector, flair: Volume, theirs: np.ndarray) -> None:
    run = detector.start_whole(flair)
    values, fill = run.tensor(Cancel())
    backend, name = run.served.backend, detector.spec.output_name
    ours = bench.reading(values, patches_of(detector), fill, lambda tensor: backend.run(tensor, Cancel())[name][0])()
    labels = theirs.argmax(axis=0)
    assert (ours == labels).mean() >= 0.999
    for label in (1, 2):
        assert (labels == label).sum() > 100
        both = (ours == label) & (labels == label)
        assert 2 * both.sum() / ((ours == label).sum() + (labels == label).sum()) > 0.999


@pytest.mark.filterwarnings("ignore")
def test_labels_come_back_to_the_series_as_scikit_image_brings_them(
    detector: OnnxDetector, flair: Volume, theirs: np.ndarray
) -> None:
    """MONAI's logits, stretched onto the slices, of which the greatest wins: 5 mm apart, 0.9 mm in the plane."""
    run = detector.start_whole(flair)
    answer = run.blank()
    list(run.read(answer, Cancel()))
    shape, how = flair.grid.shape, {"order": 1, "mode": "edge", "anti_aliasing": False, "clip": False}
    labels = np.argmax([resize(logits.astype(np.float64), shape, **how) for logits in theirs], axis=0)
    assert answer.whole
    assert (answer.labels == labels).mean() >= 0.999
    for label in (1, 2):
        both = (answer.labels == label) & (labels == label)
        assert 2 * both.sum() / ((answer.labels == label).sum() + (labels == label).sum()) > 0.999
    proposals = run.proposals(answer)
    assert [proposal.label for proposal in proposals].count("Tumour core") == 1, "only the largest is kept"
    assert all(proposal.mask.shape == flair.grid.shape for proposal in proposals)


def test_the_net_in_torch_is_the_net_in_the_file(detector: OnnxDetector) -> None:
    torch = pytest.importorskip("torch")
    with np.load(FOLDER / "selftest.npz") as stored:
        given = torch_net(detector.spec.weights)(torch.from_numpy(stored["input"])).numpy()
        assert np.abs(given - stored["logits"]).max() < 1e-3
    assert detector.spec.weights.stat().st_size < 200_000


def test_without_monai_the_row_says_so(detector: OnnxDetector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "_SLICES", 12)
    monkeypatch.setattr(bench, "_ROUNDS", 1)
    monkeypatch.setitem(sys.modules, "monai.inferers", None)
    (row,) = bench.volume(tmp_path)
    assert (row.ratio, row.peer, row.passed) == (None, "", None)
    assert "no peer: " in row.conditions
    assert row.p50 > 0
