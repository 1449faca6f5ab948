"""Grids, stacks, volumes and findings made of numbers alone, and ways to make up any of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import SimpleITK as sitk
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from overread.domain.finding import Act, Code, Finding, Mask, ModelSource, Reader, Status
from overread.domain.geometry import Grid
from overread.domain.study import Encoding, Frame, Identity, Stack
from overread.domain.volume import Volume

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
READER = Reader("Dr Reader")
MODEL = ModelSource("m", "Model", "1.0.0", "0" * 64, "CPU", WHEN)


def box_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1, 1, 1), **flags: bool) -> Grid:
    """An axial grid whose slices run to the head; spacing along k, j and i."""
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(spacing[::-1]))
    return Grid(shape, affine, **flags)


def stack(grid: Grid, dtype: str = "int16", photometric: str = "MONOCHROME2", **facts: Any) -> Stack:
    """A stack of that grid without files behind it."""
    number = np.dtype(dtype)
    identity = Identity("ID1", "TEST^ONE", "", "", "1.2", "", "", "1.2.3", 1, "FLAIR AX", "MR", "1.2.9")
    frames = tuple(Frame("", 0, 1, f"1.2.3.{k}", "", 0, (0, 0)) for k in range(grid.shape[0]))
    bits = number.itemsize * 8
    encoding = Encoding(grid.shape[1], grid.shape[2], 1, bits, bits, signed=number.kind == "i", photometric=photometric)
    return Stack("stack", identity, grid, frames, encoding, **facts)


def volume(
    voxels: NDArray[Any],
    grid: Grid | None = None,
    slope: float | list[float] = 1.0,
    intercept: float | list[float] = 0.0,
    **facts: Any,
) -> Volume:
    """Voxels (k, j, i) on a grid, by default one of 1 mm."""
    k, j, i = voxels.shape[:3]
    grid = grid or box_grid((k, j, i))
    lines = [np.broadcast_to(np.asarray(n, np.float64), grid.shape[:1]) for n in (slope, intercept)]
    return Volume(stack(grid, str(voxels.dtype), **facts), voxels, lines[0], lines[1])


def finding(mask: Mask, model: ModelSource | None = MODEL, **facts: Any) -> Finding:
    """A finding of that mask: a model's proposal, or something drawn by the reader."""
    code = Code("52988006", "SCT", "Lesion")
    known: dict[str, Any] = {
        "id": "2.25.1",
        "stack_uid": "stack",
        "series_uid": "1.2.3",
        "number": 1,
        "label": "Tumour",
        "concept": code,
        "category": code,
        "anatomy": None,
        "colour": "#F5B83D",
        "measures": None,
        "score": 0.5 if model else None,
        "status": Status.PROPOSED if model else Status.EDITED,
        "acts": () if model else (Act(READER, "draw", WHEN),),
    }
    return Finding(mask=mask, model=model, **{**known, **facts})


def as_image(grid: Grid, voxels: NDArray[Any] | None = None) -> sitk.Image:
    """The same lattice as a SimpleITK image, whose arithmetic is not ours; the grid must not be sheared."""
    image = sitk.GetImageFromArray(np.zeros(grid.shape, np.uint8) if voxels is None else voxels)
    image.SetOrigin(grid.origin.tolist())
    image.SetSpacing(grid.spacing[::-1])
    image.SetDirection(grid.directions[:, ::-1].ravel().tolist())
    return image


def _turn(parts: tuple[float, float, float, float]) -> NDArray[np.float64]:
    w, x, y, z = np.array(parts) / np.linalg.norm(parts)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@st.composite
def grids(draw: st.DrawFn, most: int = 24, *, sheared: bool = False) -> Grid:
    """Any grid a scanner could make: turned and mirrored in any way, spacings from 0.2 to 9 mm, far from the origin."""
    shape = draw(st.tuples(*[st.integers(1, most)] * 3))
    number = st.floats(-1, 1, allow_subnormal=False)
    turn = draw(st.tuples(number, number, number, number).filter(lambda q: np.linalg.norm(q) > 0.1))
    spacing = draw(st.tuples(*[st.floats(0.2, 9)] * 3))
    mirror = draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    affine = np.eye(4)
    affine[:3, :3] = _turn(turn) * np.array(mirror) * np.array(spacing)
    if sheared:
        affine[:3, 0] += affine[:3, 1] / spacing[1] * draw(st.floats(-0.5, 0.5)) * spacing[0]
    affine[:3, 3] = draw(st.tuples(*[st.floats(-900, 900)] * 3))
    return Grid(shape, affine)


def masks(most: int = 9) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Any voxels, all and none among them."""
    shapes = st.tuples(*[st.integers(1, most)] * 3)
    return shapes.flatmap(lambda shape: npst.arrays(np.bool_, shape))
