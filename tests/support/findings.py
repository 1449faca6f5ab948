"""Findings made up on a stack, as models and readers leave them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.dicom.scan import scanned
from overread.domain.finding import Act, Code, Finding, Mask, ModelSource, Reader, Status
from overread.domain.study import Stack
from overread.imaging.measure import measure

READER = Reader("Ada Lovelace")
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MODEL = ModelSource("glioma-flair", "Glioma", "1.2.0", "ab" * 32, "ONNX Runtime CPU fp32", WHEN)
TUMOUR = Code("108369006", "SCT", "Neoplasm")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
BRAIN = Code("12738006", "SCT", "Brain")
ACCEPTED = Act(READER, "accept", WHEN)


def finding(stack: Stack, voxels: NDArray[np.bool_], number: int = 1, **more: object) -> Finding:
    mask = Mask.of(voxels)
    made = Finding(
        id=f"1.2.826.0.1.{number}",
        stack_uid=stack.uid,
        series_uid=stack.identity.series_uid,
        number=number,
        label="Glioma",
        concept=TUMOUR,
        category=ABNORMAL,
        anatomy=BRAIN,
        colour="#F5B83D",
        mask=mask,
        measures=measure(mask, stack.grid) if stack.measurable else None,
        score=0.9,
        model=MODEL,
        status=Status.ACCEPTED,
        acts=(ACCEPTED,),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def blob(stack: Stack, seed: int = 0) -> NDArray[np.bool_]:
    """A lump somewhere inside that looks different along every axis."""
    chance = np.random.default_rng(seed)
    voxels = np.zeros(stack.grid.shape, bool)
    k, j, i = (max(size // 4, 0) for size in stack.grid.shape)
    inner = voxels[k : max(3 * k, k + 1), j : 3 * j, i : 3 * i]
    inner[...] = chance.random(inner.shape) < 0.7
    return voxels


def opened(path: Path, scratch: Path) -> Stack:
    return max(scanned((path,), scratch).stacks, key=lambda stack: len(stack.frames))


def three(stack: Stack) -> list[Finding]:
    """One accepted, one edited, one drawn by hand; two of them overlap."""
    return [
        finding(stack, blob(stack, 1)),
        finding(stack, blob(stack, 2), 2, status=Status.EDITED, original=Mask.of(blob(stack, 1))),
        finding(stack, blob(stack, 3), 3, model=None, status=Status.EDITED, label="Läsion", anatomy=None, score=None),
    ]
