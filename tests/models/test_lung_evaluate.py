"""What the nodules' net is worth: marks on tiles, nodules put into lungs, figures at the threshold."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from models.training import lung_evaluate, lung_report, nodules
from overread.domain.ports import Cancel
from support.lungs import chest, lung


class Bright:
    """Stands for a graph: one mark on every tile with something bright in the middle."""

    name, precision = "made up", "fp32"

    def run(self, tensor: np.ndarray[Any, Any], cancel: Cancel) -> dict[str, np.ndarray[Any, Any]]:
        """Boxes around bright pixels."""
        count, _, _, places = cv2.connectedComponentsWithStats((tensor[0, 0] > 0.9).astype(np.uint8))
        answer = np.zeros((1, 100, 5), np.float32)
        for at in range(1, min(count, 100)):
            x, y = places[at] + 0.5
            answer[0, at - 1] = y - 3, x - 3, y + 3, x + 3, 0.8
        return {"boxes": answer}


def test_marks_are_given_back_to_the_tile_they_lie_on() -> None:
    for side in (64, 128):
        tiles = np.zeros((70, side, side), np.float32)
        tiles[3, 20:22, 30:32] = tiles[69, 40:42, 10:12] = 1
        found = lung_evaluate.marks_on(Bright(), tiles)
        assert [len(marks) for marks in found] == [int(at in (3, 69)) for at in range(70)]
        assert found[3][0, :4].tolist() == [18, 28, 24, 34]
        assert found[69][0, :4].tolist() == [38, 8, 44, 14]


def test_a_nodule_that_is_put_into_a_lung_is_there_and_nowhere_else() -> None:
    image, readers = lung(np.random.default_rng(1)), np.zeros((128, 128), np.uint8)
    image[:, :] = 30
    image[59:69, 59:69] = 220
    readers[59:69, 59:69] = 4
    crops = nodules.Crops(image[None], readers[None], ("P",), ("P_0",))
    assert lung_evaluate.in_lung(crops).names == ("P_0",)
    volume = chest()
    changed, boxes = lung_evaluate.placed(volume, crops, np.random.default_rng(0))
    assert len(boxes) == 1
    row0, column0, row1, column1 = boxes[0]
    assert (row1 - row0, column1 - column0) == pytest.approx((10, 10), abs=1)
    before, after = (v.real((slice(None),) * 3) for v in (volume, changed))
    differs = np.argwhere(np.abs(after - before) > 20)
    assert set(differs[:, 0].tolist()) == {0}
    assert (differs[:, 1:].min(axis=0) >= (row0 - 8, column0 - 8)).all()
    assert (differs[:, 1:].max(axis=0) < (row1 + 8, column1 + 8)).all()
    assert after[0, (row0 + row1) // 2, (column0 + column1) // 2] == pytest.approx(nodules.TISSUE_HU[0], abs=60)


def test_a_nodule_at_the_chest_wall_is_not_put_elsewhere() -> None:
    image, readers = lung(np.random.default_rng(1)), np.zeros((128, 128), np.uint8)
    readers[59:69, 26:36] = 4
    assert lung_evaluate.in_lung(nodules.Crops(image[None], readers[None], ("P",), ("P_0",))).names == ()


def test_the_lungs_are_not_the_air_around_the_body() -> None:
    hu = chest().real((slice(0, 1), slice(None), slice(None)))[0]
    found = lung_evaluate.lungs(hu)
    assert found[256, 150]
    assert found[256, 362]
    assert not found[0].any()
    assert not found[256, 256]


def test_sensitivity_and_false_marks_are_those_at_the_threshold() -> None:
    truth = [(60, 60, 70, 70)]
    marks = np.array([[60, 60, 70, 70, 0.9], [10, 10, 20, 20, 0.8], [30, 30, 40, 40, 0.2]], np.float32)
    missed = np.array([[0, 0, 9, 9, 0.4]], np.float32)
    scans = [lung_evaluate.scan_of(marks, truth), lung_evaluate.scan_of(missed, truth)]
    measured = lung_report.operating(scans, [10, 4], 0.5, ["A", "B"])
    assert measured["sensitivity"] == 0.5
    assert measured["false_marks"] == 0.5
    assert measured["by_size"]["7 to 12 pixels"] == {"nodules": 1, "sensitivity": 1.0}
    assert measured["by_size"]["up to 6 pixels"] == {"nodules": 1, "sensitivity": 0.0}
