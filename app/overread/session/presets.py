"""Windows to choose from: those of the file first, then those of the modality, then what the voxels suggest."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread import paths
from overread.domain.study import Stack, Window


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return tomllib.loads((paths.resources() / "windows.toml").read_text("utf-8"))


def windows(stack: Stack, offered: tuple[Window, ...] = ()) -> tuple[Window, ...]:
    """The presets of a stack, in the order of the keys 1 to 9; last those that others' presentation states offer."""
    found = [Window(w.center, w.width, w.name or "From the file", w.function) for w in stack.windows]
    if stack.voi_lut is not None:
        table = stack.voi_lut
        size = float(len(table.values))  # the values that the table tells apart: where dragging begins
        found.append(Window(table.first + size / 2, size, table.explanation or "Table from the file", "LUT"))
    named = _table().get(stack.identity.modality, [])
    found.extend(Window(float(w["center"]), float(w["width"]), str(w["name"])) for w in named)
    return (*found, *offered)


def opening_window(stack: Stack) -> Window:
    """The window to begin with; width 0 asks for one that fits the voxels, once they are there.

    The file's own, else the preset for the part of the body, else the modality's general one.
    """
    presets = windows(stack)
    named = _table().get(stack.identity.modality, [])
    if len(presets) > len(named):
        return presets[0]
    fitting = [w for w, preset in zip(presets, named, strict=True) if stack.body_part in preset.get("body", ())]
    general = [w for w, preset in zip(presets, named, strict=True) if preset.get("opens")]
    return next(iter(fitting + general), Window(0.0, 0.0, "Fitted"))


def fitted(real: NDArray[np.float64]) -> Window:
    """A window over the middle 98 % of what is not background (real values of a slice, any shape)."""
    sample = real.reshape(-1)[:: max(1, real.size // 200_000)]
    body = sample[sample > sample.min()]
    low, high = np.percentile(body if body.size else sample, (1.0, 99.0))
    return Window(float(low + high) / 2, float(high - low) or 1.0, "Fitted", "LINEAR_EXACT")
