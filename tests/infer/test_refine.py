"""The second look before findings are proposed: mirrored, and blended across slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import Refine, read
from overread.infer.refine import second_look, touched
from support.tiny import kinds_model
from support.values import box_grid, volume

RAMP = np.linspace(0.1, 0.9, 4, dtype=np.float32)


@dataclass
class Slices:
    """Five slices of one number each."""

    count: int = 5

    def tensor(self, index: int) -> NDArray[np.float32]:
        return np.full((1, 1, 2, 4), index, np.float32)


class Lopsided:
    """Sees more on the right than on the left."""

    name, precision = "test", "fp32"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
        self.batches.append(len(tensor))
        return {"map": tensor * RAMP, "class": tensor.mean(axis=(2, 3)) * np.array([[1, 2]], np.float32)}


def test_both_ways_and_across() -> None:
    backend = Lopsided()
    refine = Refine(mirror=True, across=0.25)
    drawn = touched(refine, frozenset({0, 3}), 5)
    assert drawn == {0, 1, 2, 3, 4}
    looked = second_look(refine, Slices(), backend, drawn)
    assert set(looked) == {0, 1, 2, 3, 4}
    assert backend.batches == [1] * 10
    level = (RAMP + RAMP[::-1]) / 2  # what is seen is the same on both sides now
    for index, blended in {0: 0.25, 1: 1, 2: 2, 3: 3, 4: 3.75}.items():
        np.testing.assert_allclose(looked[index]["map"], np.broadcast_to(blended * level, (1, 1, 2, 4)), rtol=1e-6)
        np.testing.assert_allclose(looked[index]["class"], [[index, 2 * index]])


def test_without_blending_only_what_was_seen_is_read() -> None:
    backend = Lopsided()
    looked = second_look(Refine(mirror=True, across=0.0), Slices(), backend, frozenset({2}))
    assert set(looked) == {2}
    single = second_look(Refine(mirror=False, across=0.0), Slices(), backend, frozenset({2}))
    np.testing.assert_allclose(single[2]["map"][0, 0, 0], 2 * RAMP)
    assert second_look(Refine(mirror=True, across=0.1), Slices(), backend, frozenset()) == {}
    assert touched(Refine(mirror=True, across=0.0), frozenset({2}), 5) == {2}
    assert backend.batches == [1, 1, 1]


def test_a_second_look_without_numbers_is_said_not_drawn() -> None:
    class Broken(Lopsided):
        def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
            self.batches.append(len(tensor))
            return {"map": tensor if len(self.batches) == 1 else np.full_like(tensor, np.nan)}

    with pytest.raises(UserError, match=r"^The second look gave no numbers for slice 3, so nothing was read\."):
        second_look(Refine(mirror=True, across=0.0), Slices(), Broken(), frozenset({2}))


def test_findings_are_made_of_the_second_look(tmp_path: Path) -> None:
    body = np.zeros((6, 64, 64), np.int16)
    body[:, 8:56, 8:56] = np.random.default_rng(5).integers(280, 320, (6, 48, 48))
    body[3, 20:30, 20:30] = 1500
    head = volume(body, box_grid((6, 64, 64), (3.0, 1.5, 1.5)))
    plain = OnnxDetector(read(kinds_model(tmp_path)), Chain((REFERENCE,)))
    (before,) = plain(head, lambda fraction: None)
    threshold = plain.spec.outputs[0].threshold
    assert threshold < 0.9, "so that four fifths of what the one bright slice says are enough, a tenth is not"
    plain.spec = replace(plain.spec, refine=Refine(mirror=True, across=0.05))
    (after,) = plain(head, lambda fraction: None)
    assert after.mask == before.mask
    assert before.probabilities is not None
    assert after.probabilities is not None
    for kept in (before.probabilities, after.probabilities):
        assert (kept.start[0], kept.extent[0]) == (2, 3), "one slice more on each side"
    assert before.probabilities.voxels[[2, 4], 20:30, 20:30].min() == 0
    beside = after.probabilities.voxels[[2, 4], 20:30, 20:30]
    assert beside.min() == round(0.05 * 255), "what the second look says beside it"
    assert after.score == pytest.approx(before.score * 0.9, abs=0.06)
