"""Windows to begin with: those of the file first, and one that fits whatever the voxels hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from overread.domain.study import Lut, Window
from overread.render.grey import windowed
from overread.session.presets import fitted, opening_window, windows
from support.values import box_grid, stack


def test_the_windows_of_the_file_come_first() -> None:
    made = stack(box_grid((1, 2, 2)), windows=(Window(40, 80, "BRAIN"), Window(1, 2)))
    names = [window.name for window in windows(made)]
    assert names[:2] == ["BRAIN", "From the file"]
    assert opening_window(made) == Window(40, 80, "BRAIN")


def test_a_table_of_the_file_spans_the_values_it_tells_apart() -> None:
    """Dragging begins there."""
    made = stack(box_grid((1, 2, 2)), voi_lut=Lut(-24, np.arange(1000.0), "SOFT"))
    assert opening_window(made) == Window(476, 1000, "SOFT", "LUT")


@pytest.mark.parametrize(("body", "name"), [("HEAD", "Brain"), ("CHEST", "Mediastinum"), ("", "Abdomen")])
def test_a_ct_without_a_window_opens_with_the_one_for_its_part_of_the_body(body: str, name: str) -> None:
    made = stack(box_grid((1, 2, 2)), body_part=body)
    assert opening_window(replace(made, identity=replace(made.identity, modality="CT"))).name == name


def test_without_any_the_window_waits_for_the_voxels() -> None:
    assert opening_window(stack(box_grid((1, 2, 2)))).width == 0


@pytest.mark.parametrize(("gain", "offset"), [(1000.0, 0.0), (1.0, 5.0), (0.3, 0.0), (1e-6, 0.0)])
def test_a_fitted_window_shows_every_kind_of_image(gain: float, offset: float) -> None:
    """Hounsfield units, fractions and diffusion coefficients alike: dark is dark, bright is bright, half is half."""
    real = np.append(np.zeros(500), np.linspace(0.1, 1.0, 1001)) * gain + offset
    window = fitted(real)
    dark, half, bright = windowed(np.array([0.1, 0.55, 1.0]) * gain + offset, window)
    assert (dark, half, bright) == pytest.approx((0, 0.5, 1), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 7.0, -1000.0])
def test_one_grey_all_over_has_a_window(value: float) -> None:
    assert fitted(np.full((4, 4), value)) == Window(value, 1.0, "Fitted", "LINEAR_EXACT")
