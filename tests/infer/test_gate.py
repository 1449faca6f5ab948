"""Outside of what a model was made for it does not run, and the reader is told why in one sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overread.domain.geometry import Grid
from overread.domain.study import Encoding, Problem, Stack
from overread.infer.gate import refusal
from overread.infer.manifest import Gate, ModelSpec, read
from support.models import bright_model
from support.values import box_grid, stack

FITS = box_grid((20, 64, 64), (5.0, 0.9, 0.9))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    gate = Gate(("MR",), ("FLAIR", "T2"), ("HEAD", "BRAIN"), (5, 40), (0.3, 2.0), (0.5, 8.0), 45.0)
    return replace(read(bright_model(tmp_path_factory.mktemp("models"))), gate=gate)


def flair(grid: Grid = FITS, modality: str = "MR", **facts: Any) -> Stack:
    made = stack(grid)
    who = replace(made.identity, modality=modality)
    return replace(made, **{"role": "FLAIR", "body_part": "HEAD", "identity": who, **facts})


def tilted(degrees: float, about: int = 0, *, sheared: bool = False) -> Grid:
    """The fitting grid, its slices turned about a body axis; sheared: the step between them stays along the body."""
    a = np.deg2rad(degrees)
    turn = np.eye(3)
    b, c = (axis for axis in range(3) if axis != about)
    turn[b, b] = turn[c, c] = np.cos(a)
    turn[b, c], turn[c, b] = -np.sin(a), np.sin(a)
    affine = FITS.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    if sheared:
        affine[:3, 0] = FITS.affine[:3, 0]
    return Grid(FITS.shape, affine)


REFUSED = [
    (flair(modality="CT"), "it is CT, the model reads MR"),
    (flair(modality=""), "it is of no modality, the model reads MR"),
    (flair(role="T1C"), "it is T1C, the model reads FLAIR or T2"),
    (flair(role=""), "its header does not say which sequence it is, the model reads FLAIR or T2"),
    (flair(body_part="KNEE"), "it shows knee, the model reads head or brain"),
    (flair(box_grid((4, 64, 64), (5, 1, 1))), "it has 4 axial slices, the model wants 5 to 40"),
    (flair(box_grid((1, 64, 64), (5, 1, 1))), "it has 1 axial slice, the model wants 5 to 40"),
    (flair(box_grid((41, 64, 64), (5, 1, 1))), "it has 41 axial slices, the model wants 5 to 40"),
    (flair(box_grid((20, 64, 64), (5, 1, 0.25))), "its pixels are 0.25 mm apart, the model wants 0.3 to 2 mm"),
    (flair(box_grid((20, 64, 64), (5, 2.25, 1))), "its pixels are 2.25 mm apart, the model wants 0.3 to 2 mm"),
    (flair(box_grid((20, 64, 64), (8.5, 1, 1))), "its slices are 8.5 mm apart, the model wants 0.5 to 8 mm"),
    (flair(box_grid((20, 64, 64), (5, 1, 1), oriented=False)), "it has no place in the patient"),
    (
        flair(
            box_grid((20, 64, 64), (5, 1, 1), calibrated=False),
            problems=(Problem("not-calibrated", "No pixel spacing: lengths cannot be given in mm.", measurable=False),),
        ),
        "no pixel spacing: lengths cannot be given in mm",
    ),
    (
        flair(problems=(Problem("lossy", "Lossy."), Problem("missing-slices", "2 slices are missing.", False))),
        "2 slices are missing",
    ),
    (flair(encoding=Encoding(64, 64, 3, 8, 8, photometric="RGB")), "it is in colour"),
    (flair(encoding=Encoding(64, 64, 1, 8, 8, photometric="PALETTE COLOR")), "it is in colour"),
]


@pytest.mark.parametrize(("given", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_each_refusal_has_its_sentence(spec: ModelSpec, given: Stack, reason: str) -> None:
    assert refusal(spec, given) == f"Bright does not read this series: {reason}."


@pytest.mark.parametrize(
    "given",
    [
        flair(),
        flair(role="T2"),
        flair(body_part=""),  # silent headers are the rule, not the exception
        flair(box_grid((5, 64, 64), (8.0, 0.3, 2.0))),
        flair(box_grid((40, 64, 64), (0.5, 2.0000004, 0.2999998))),
        flair(problems=(Problem("lossy", "Compressed with loss (lossy 10:1)."),)),
        flair(tilted(30)),
        flair(tilted(30, sheared=True)),
    ],
)
def test_what_fits_is_read(spec: ModelSpec, given: Stack) -> None:
    assert refusal(spec, given) == ""


def test_a_gate_that_asks_nothing_lets_everything_in(spec: ModelSpec) -> None:
    wide = Gate((), (), (), (1, 100_000), (0.0, 1e9), (0.0, 1e9), 90.0)
    assert refusal(replace(spec, gate=wide), flair(tilted(44), modality="CT", role="", body_part="KNEE")) == ""


def test_an_image_without_millimetres_is_read_where_none_are_asked_for(spec: ModelSpec) -> None:
    anything = Gate(("CR", "DX"), (), (), (1, 1), (0.0, 1e9), (0.0, 1e9), 90.0)
    least = tuple(replace(output, min_volume_ml=0.0) for output in spec.outputs)
    whole = replace(spec, gate=anything, outputs=least, prepare=replace(spec.prepare, fit="stretch", spacing_mm=None))
    unknown = Problem("not-calibrated", "No pixel spacing: lengths cannot be given in mm.", measurable=False)
    plate = flair(
        box_grid((1, 900, 800), oriented=False, calibrated=False), "DX", role="", body_part="", problems=(unknown,)
    )
    assert refusal(whole, plate) == ""
    for asking in (
        replace(whole, gate=replace(anything, in_plane_mm=(0.1, 2.0))),
        replace(whole, gate=replace(anything, tilt_deg=30.0)),
        replace(whole, prepare=replace(whole.prepare, neighbours=1)),
        replace(whole, prepare=spec.prepare),
        replace(whole, outputs=spec.outputs),
        replace(whole, task="detect"),
    ):
        assert refusal(asking, plate).endswith("series: no pixel spacing: lengths cannot be given in mm.")
    assert refusal(whole, flair(modality="MR")).endswith("it is MR, the model reads X-ray.")
    two = flair(box_grid((2, 900, 800), oriented=False), "CR", role="", body_part="")
    assert refusal(whole, two).endswith("it has 2 images, the model wants 1.")


def test_colour_for_those_who_want_it(spec: ModelSpec) -> None:
    wide = Gate((), (), (), (1, 100_000), (0.0, 1e9), (0.0, 1e9), 90.0)
    rgb = replace(spec, gate=wide, prepare=replace(spec.prepare, channels="rgb"))
    assert refusal(rgb, flair(encoding=Encoding(64, 64, 3, 8, 8, photometric="RGB"))) == ""
    assert refusal(rgb, flair(encoding=Encoding(64, 64, 1, 8, 8, photometric="PALETTE COLOR"))) == ""
    assert refusal(rgb, flair()).endswith("it is grey, the model reads colour.")


@pytest.mark.parametrize("about", [0, 1])
@pytest.mark.parametrize("sheared", [False, True])
def test_a_tilt_is_that_of_the_slices(spec: ModelSpec, about: int, sheared: bool) -> None:
    narrow = replace(spec, gate=replace(spec.gate, tilt_deg=18.0))
    assert refusal(narrow, flair(tilted(17.9, about, sheared=sheared))) == ""
    told = refusal(narrow, flair(tilted(18.5, about, sheared=sheared)))
    assert told.endswith("its slices are tilted by 18.5°, the model wants at most 18°.")


def test_a_series_in_another_plane_is_counted_in_the_models(spec: ModelSpec) -> None:
    """A coronal acquisition of 64 slices, 5 mm apart: its axial slices have pixels of 5 mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 0.9], [5.0, 0, 0], [0, -0.9, 0]])
    told = refusal(spec, flair(Grid((64, 30, 64), affine)))
    assert re.search(r"its pixels are 5 mm apart, the model wants 0\.3 to 2 mm\.$", told)
