"""The sliding window is MONAI's, patch by patch and weight by weight, and holds no more than a slab of answers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overread.domain.errors import UserError
from overread.infer import windows
from overread.infer.windows import Windows, gaussian, starts

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # MONAI's imports warn


def net(channels: int = 1, classes: int = 3) -> torch.nn.Module:
    torch.manual_seed(3)
    layers = torch.nn.Conv3d(channels, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv3d(4, classes, 3, padding=1)
    return torch.nn.Sequential(*layers).eval()


def predicting(model: torch.nn.Module, calls: list[np.ndarray] | None = None) -> Callable[[np.ndarray], np.ndarray]:
    def predict(tensor: np.ndarray) -> np.ndarray:
        if calls is not None:
            calls.append(tensor)
        with torch.inference_mode():
            return model(torch.from_numpy(tensor))[0].numpy()

    return predict


def whole(reading: Windows, predict: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """All planes, each of which has to come once and in its order."""
    planes: list[np.ndarray] = []
    count = 0
    for step in reading.steps(predict):
        if step.planes is None:
            count += 1
            assert step.done == count
        else:
            assert step.first == sum(part.shape[1] for part in planes)
            planes.append(np.array(step.planes, np.float32))
    assert count == reading.count
    return np.concatenate(planes, axis=1)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=60)
@given(st.integers(1, 200), st.integers(1, 64), st.sampled_from((0.0, 0.25, 0.5, 0.625, 0.9)))
def test_patches_stand_where_monai_puts_them(size: int, patch: int, overlap: float) -> None:
    from monai.data.utils import dense_patch_slices

    size = max(size, patch)  # smaller volumes are padded first
    step = patch if size == patch else max(1, int(patch * (1 - overlap)))
    theirs = [where[0].start for where in dense_patch_slices((size,), (patch,), (step,))]
    assert starts(size, patch, overlap) == theirs


@pytest.mark.parametrize("size", [(8, 16, 16), (5, 7, 9), (1, 2, 64)])
def test_weights_are_monais(size: tuple[int, int, int]) -> None:
    from monai.data.utils import compute_importance_map

    theirs = compute_importance_map(size, mode="gaussian", sigma_scale=0.125).numpy()
    assert np.abs(gaussian(size) - theirs).max() < 1e-6


@pytest.mark.parametrize("shape", [(20, 33, 40), (8, 16, 16), (5, 30, 12), (3, 4, 5)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_the_answer_is_monais(shape: tuple[int, int, int], overlap: float) -> None:
    from monai.inferers import SlidingWindowInferer

    values, model, size = noise(2, *shape), net(2), (8, 16, 16)
    ours = whole(Windows(values, size, overlap), predicting(model))
    with torch.inference_mode():
        inferer = SlidingWindowInferer(size, overlap=overlap, mode="gaussian", sigma_scale=0.125)
        theirs = inferer(torch.from_numpy(values[None]), model)[0].numpy()
    assert np.abs(ours - theirs).max() < 1e-5


def test_mirrored_it_is_the_mean_of_all_ways_to_look() -> None:
    values, model, size = noise(1, 12, 16, 20), net(), (12, 16, 20)
    ours = whole(Windows(values, size, 0.5, mirror=(0, 2)), predicting(model))
    ways = []
    for axes in ((), (1,), (3,), (1, 3)):
        given = predicting(model)(np.ascontiguousarray(np.flip(values, axes))[None])
        ways.append(np.flip(given, axes))
    assert np.abs(ours - np.mean(ways, axis=0)).max() < 1e-5


def test_what_lies_around_a_small_volume_is_filled() -> None:
    seen: list[np.ndarray] = []
    whole(Windows(noise(2, 4, 16, 16), (8, 16, 16), 0.5, fill=(-3.0, 7.0)), predicting(net(2), seen))
    (patch,) = seen
    for channel, level in enumerate((-3.0, 7.0)):
        assert (patch[0, channel, :2] == level).all()
        assert (patch[0, channel, 6:] == level).all()
        assert not (patch[0, channel, 2:6] == level).any()


def test_empty_patches_are_read_once_and_answered_alike() -> None:
    values, model, size = np.zeros((1, 32, 48, 48), np.float32), net(), (8, 16, 16)
    values[0, 12:18, 20:28, 20:28] = noise(6, 8, 8)
    calls: list[np.ndarray] = []
    reading = Windows(values, size, 0.5)
    ours = whole(reading, predicting(model, calls))
    told_apart = [call for call in calls if call.any()]
    assert len(calls) == len(told_apart) + 1 < reading.count / 2
    every = product(*(starts(n, p, 0.5) for n, p in zip(values.shape[1:], size, strict=True)))
    total, weight = np.zeros((3, *values.shape[1:])), np.zeros(values.shape[1:])
    for k, j, i in every:
        box = slice(k, k + 8), slice(j, j + 16), slice(i, i + 16)
        total[:, *box] += predicting(model)(np.ascontiguousarray(values[:, *box])[None]) * gaussian(size)
        weight[*box] += gaussian(size)
    assert np.abs(ours - total / weight).max() < 1e-5


def test_a_long_volume_takes_no_more_than_a_slab() -> None:
    """The answers of all classes for the whole volume would take 63 MB; a slab of a patch's thickness takes 2.6 MB."""
    values, size, classes = np.zeros((1, 400, 64, 64), np.float32), (16, 32, 32), 9
    values[...] = np.arange(400, dtype=np.float32)[:, None, None]  # no two patches are alike
    answer = np.ones((classes, *size), np.float32)
    reading = Windows(values, size, 0.5)
    bound = reading.slab_bytes(classes)
    assert bound == 16 * 64 * 64 * (classes + 1) * 4
    assert bound < 0.05 * classes * values[0].nbytes
    tracemalloc.start()
    try:
        for _ in reading.steps(lambda tensor: answer):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert bound < peak < bound + 5 * answer.nbytes + 2**20


def test_a_budget_is_kept_in_half_precision_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    values, model = noise(1, 20, 24, 24), net()
    full = whole(Windows(values, (8, 16, 16), 0.5), predicting(model))
    reading = Windows(values, (8, 16, 16), 0.5)
    monkeypatch.setattr(windows, "BUDGET", reading.slab_bytes(3) - 1)
    half = whole(reading, predicting(model))
    assert 0 < np.abs(half - full).max() < 0.01
    monkeypatch.setattr(windows, "BUDGET", reading.slab_bytes(3, np.float16) - 1)
    with pytest.raises(UserError, match="GiB"):
        whole(reading, predicting(model))
