"""What lung-nodule is worth, as shipped: ONNX Runtime runs the graphs of the folder, the engine draws the outlines.

The detector's graph takes whole slices only, so crops and patches are laid side by side on one canvas.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.training.detection import Scan, within_radius
from models.training.measures import dice
from models.training.nodules import CROP, F32, HIGH_HU, LOW_HU, PATCH, READERS, U8, Crops, box_of, windowed
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.ports import Backend, Cancel
from overread.domain.volume import Volume
from overread.infer.backends.serving import Served
from overread.infer.detect import Outliner, Verifier, pooled
from overread.infer.detector import ModelRun
from overread.infer.manifest import ModelSpec
from overread.infer.scheduler import SliceQueue

# The bundles give no spacing; training takes it for this too.
ASSUMED_MM = 0.7
# The smallest nodules may be missed by so many pixels and still count as found.
LEAST_RADIUS = 3.0
# What is asked about a patch of LUNA16 lies in its middle: so many pixels to each side.
MIDDLE = 10.0
_TILE = 64
_CANVAS = 512
# row0, column0, row1, column1, half open
PixelBox = tuple[int, int, int, int]
# Under this, marks are not looked at: the curve is read far above.
_LEAST_SCORE = 0.02


@dataclass(frozen=True)
class Outline:
    """How well one nodule was outlined: whose it is, its longer side in pixels, and Dice."""

    patient: str
    side: int
    dice: float


def marks_on(backend: Backend, tiles: F32) -> list[F32]:
    """Marks (m, 5) on each of the square tiles (n, side, side), in its own pixels; the sides divide 512."""
    side = tiles.shape[1]
    across = _CANVAS // side
    places = [(row * side, column * side) for row in range(across) for column in range(across)]
    if side < CROP:
        places = places[::2]  # the graph gives a hundred marks a canvas, not more
    found: list[F32] = []
    for start in range(0, len(tiles), len(places)):
        some = tiles[start : start + len(places)]
        canvas = np.full((1, 1, _CANVAS, _CANVAS), windowed_hu(-850.0), np.float32)
        for (top, left), tile in zip(places, some, strict=False):
            canvas[0, 0, top : top + side, left : left + side] = tile
        (answer,) = backend.run(canvas, Cancel()).values()
        middles = (answer[0, :, :2] + answer[0, :, 2:4]) / 2
        for top, left in places[: len(some)]:
            inside = ((middles >= (top, left)) & (middles < (top + side, left + side))).all(axis=1)
            own = answer[0, inside & (answer[0, :, 4] > 0)].copy()
            own[:, :4] -= (top, left, top, left)
            found.append(own)
    return found


def windowed_hu(hu: float) -> np.float32:
    """A value in HU as the model sees it."""
    return np.float32((hu - LOW_HU) / (HIGH_HU - LOW_HU))


def patch_tiles(images: U8) -> F32:
    """Patches (n, 50, 50), mirrored at their edges up to 64 × 64, 0 to 1."""
    before = (_TILE - PATCH) // 2
    edges = (before, _TILE - PATCH - before)
    return np.asarray(np.pad(images, ((0, 0), edges, edges), mode="reflect") / np.float32(255), np.float32)


def verifier_of(spec: ModelSpec, served: Served) -> Verifier | None:
    """What looks at boxes again on pictures of the assumed pixel size; None where the model has no such graph."""
    if spec.verify is None:
        return None
    return Verifier(spec.verify, served.looks["verify"], (ASSUMED_MM, ASSUMED_MM))


def judged(verifier: Verifier, picture: F32, marks: F32) -> F32:
    """Marks (m, 5) on a windowed picture (rows, columns) scored as the engine does it; those below the floor are gone.

    What a crop needs from beyond the picture is mirrored, as it was in training: a whole slice has it.
    """
    marks = marks[marks[:, 4] >= verifier.verify.floor].copy()
    if len(marks):
        edge = max(verifier.verify.size) // 2
        wider = np.pad(picture, edge, mode="reflect")
        boxes = [(a + edge, b + edge, c + edge, d + edge) for a, b, c, d in marks[:, :4].tolist()]
        answers = verifier(wider, boxes, 0.0, Cancel())
        marks[:, 4] = [pooled(float(score), chance) for score, chance in zip(marks[:, 4], answers, strict=True)]
    return marks


def found_on(spec: ModelSpec, served: Served, tiles: F32) -> list[F32]:
    """Marks (m, 5) on each of the square tiles (n, side, side), as `marks_on` gives them, scored as the engine does."""
    found, verifier = marks_on(served.backend, tiles), verifier_of(spec, served)
    if verifier is None:
        return found
    return [judged(verifier, tile, marks) for tile, marks in zip(tiles, found, strict=True)]


def patch_scores(spec: ModelSpec, served: Served, images: U8) -> NDArray[np.float64]:
    """The score of the surest mark in the middle of each patch (n, 50, 50); 0 where there is none."""
    found = found_on(spec, served, patch_tiles(images))
    away = [np.abs((marks[:, :2] + marks[:, 2:4]) / 2 - _TILE / 2).max(axis=1) for marks in found]
    return np.array([marks[far <= MIDDLE, 4].max(initial=0.0) for marks, far in zip(found, away, strict=True)])


def middle_chances(verifier: Verifier, images: U8) -> NDArray[np.float64]:
    """What the second look alone says of the middle of each patch (n, 50, 50)."""
    box = (_TILE / 2 - 0.5,) * 2 + (_TILE / 2 + 0.5,) * 2
    return np.array([verifier(tile, [box], 0.0, Cancel())[0] for tile in patch_tiles(images)])


def scan_of(marks: F32, truth: Sequence[PixelBox]) -> Scan:
    """Marks (m, 5) against true boxes: a mark hits nearer than the nodule's radius, or than 3 pixels."""
    boxes = np.array(truth, np.float64).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    radii = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) / 2, LEAST_RADIUS)
    return Scan(marks[:, 4].astype(np.float64), within_radius((marks[:, :2] + marks[:, 2:4]) / 2, centres, radii))


def crop_scans(spec: ModelSpec, served: Served, crops: Crops) -> tuple[list[Scan], list[F32]]:
    """Every crop, windowed as well as can be guessed, as a scan of its own; with the marks themselves."""
    found = found_on(spec, served, np.stack([windowed(image) for image in crops.images]))
    boxes = [box_of(readers >= READERS) for readers in crops.readers]
    return [scan_of(marks, [box]) for marks, box in zip(found, boxes, strict=True)], found


def outlines(outliner: Outliner, crops: Crops, found: Sequence[F32] | None = None) -> list[Outline]:
    """Outline every crop's nodule in its true box, or in the surest of the marks that hits it.

    A nodule without a mark that hits is left out; one in whose box nothing is drawn has Dice 0.
    """
    measured = []
    for at, (image, readers) in enumerate(zip(crops.images, crops.readers, strict=True)):
        truth = readers >= READERS
        box = box_of(truth)
        edges: tuple[float, float, float, float] = box
        if found is not None:
            hits = found[at][scan_of(found[at], [box]).hits[:, 0]]
            if not len(hits):
                continue
            row0, column0, row1, column1 = (float(edge) for edge in hits[hits[:, 4].argmax(), :4])
            edges = row0, column0, row1, column1
        drawn = np.zeros_like(truth)
        (patch,) = outliner(image.astype(np.float32), [edges], Cancel())
        if patch is not None:
            (top, left), (rows, columns) = patch.start, patch.shape
            drawn[top : top + rows, left : left + columns] = patch.mask
        side = max(box[2] - box[0], box[3] - box[1])
        measured.append(Outline(crops.patients[at], side, dice(drawn, truth)))
    return measured


def chest(data: Path) -> Volume:
    """The real chest CT without labels: 22 neighbouring slices."""
    with tempfile.TemporaryDirectory() as scratch:
        catalogue = scanned((data / "dicom" / "chest-ct-cptac",), Path(scratch) / "scan")
        (stack,) = catalogue.stacks
        return loaded(stack)


def lungs(hu: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The lungs on one slice (rows, columns) of HU: air that does not reach the border, small holes filled."""
    labels, _ = ndimage.label(hu < -400)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    inside = (labels > 0) & ~np.isin(labels, border)
    sizes = np.bincount(labels[inside], minlength=labels.max() + 1)
    kept = np.isin(labels, np.flatnonzero(sizes > 2000))
    return np.asarray(ndimage.binary_closing(kept, iterations=4) | kept, np.bool_)


def in_lung(crops: Crops) -> Crops:
    """Those nodules that touch nothing but lung, so that they can be put elsewhere without their surroundings."""
    kept = []
    for at in crops.agreed:
        near = ndimage.binary_dilation(crops.readers[at] > 0, iterations=3)
        ring = ndimage.binary_dilation(near, iterations=3) & ~near
        if (windowed(crops.images[at])[ring] < windowed_hu(-500.0)).mean() > 0.9:
            kept.append(int(at))
    return crops.picked(kept)


def placed(volume: Volume, crops: Crops, rng: np.random.Generator) -> tuple[Volume, list[PixelBox]]:
    """One nodule in the lung of every slice, scaled from the assumed pixel; the volume, and the box on each slice.

    Crops are taken in their order, as many as there are slices. What is copied are the pixels that any reader marked
    and two more around, faded out.
    """
    voxels = np.asarray(volume.real((slice(None),) * 3), np.float32)
    scale = ASSUMED_MM / volume.grid.spacing[1]
    boxes: list[PixelBox] = []
    for k, (image, readers) in enumerate(zip(crops.images[: len(voxels)], crops.readers, strict=False)):
        free = np.argwhere(ndimage.binary_erosion(lungs(voxels[k]), iterations=8))
        row, column = free[rng.integers(len(free))]
        near = ndimage.binary_dilation(readers > 0, iterations=2).astype(np.float32)
        side = round(CROP * scale)
        large = (side, side)
        hu = cv2.resize(windowed(image), large) * (HIGH_HU - LOW_HU) + LOW_HU
        blend = cv2.GaussianBlur(cv2.resize(near, large), (0, 0), 1.0)
        truth = cv2.resize((readers >= READERS).astype(np.float32), large)
        to = np.array([[1.0, 0.0, column - (side - 1) / 2], [0.0, 1.0, row - (side - 1) / 2]])
        shape = voxels.shape[2], voxels.shape[1]
        put, share = (cv2.warpAffine(part, to, shape) for part in (hu, blend))
        voxels[k] = voxels[k] * (1 - share) + put * share
        boxes.append(box_of(np.asarray(cv2.warpAffine(truth, to, shape) >= 0.5, np.bool_)))
    whole = np.rint(voxels).astype(np.int16)
    return replace(volume, voxels=whole, slope=np.ones(len(whole)), intercept=np.zeros(len(whole))), boxes


def placed_scans(
    spec: ModelSpec, served: Served, data: Path, crops: Crops, rounds: int, seed: int
) -> tuple[list[Scan], list[int]]:
    """Every slice of the chest CT into which a nodule was put, as a scan; and each nodule's longer side, pixels.

    Run through the engine without outlines, down to low scores.
    """
    (output,) = spec.outputs
    bare = replace(spec, outputs=(replace(output, threshold=_LEAST_SCORE),), contour=None)
    volume, rng = chest(data), np.random.default_rng(seed)
    chosen = in_lung(crops)
    chosen = chosen.picked([int(at) for at in rng.permutation(len(chosen.names))])
    scans: list[Scan] = []
    sides: list[int] = []
    slices = volume.grid.shape[0]
    for start in range(0, min(rounds * slices, len(chosen.names)), slices):
        some = chosen.picked(list(range(start, min(start + slices, len(chosen.names)))))
        with_nodules, boxes = placed(volume, some, rng)
        run = ModelRun(bare, served, with_nodules)
        for result in run.slices(SliceQueue(run.count)):
            if result.index >= len(boxes):
                continue
            marks = np.array([(*box.edges, box.score) for box in result.boxes], np.float32).reshape(-1, 5)
            box = boxes[result.index]
            scans.append(scan_of(marks, [box]))
            sides.append(max(box[2] - box[0], box[3] - box[1]))
    return scans, sides


def picture() -> F32:
    """A made-up slice as the model sees it (1, 1, 512, 512): two lungs with vessels and nodules.

    For self-tests; in steps of 1/64, so that the file is small.
    """
    rng = np.random.default_rng(5)
    hu = np.full((_CANVAS, _CANVAS), -1000.0, np.float32)
    cv2.ellipse(hu, (256, 256), (220, 150), 0, 0, 360, 40.0, cv2.FILLED)
    for middle in (150, 362):
        cv2.ellipse(hu, (middle, 256), (85, 110), 0, 0, 360, -860.0, cv2.FILLED)
        for _ in range(40):
            x, y = middle + rng.integers(-55, 56), 256 + rng.integers(-70, 71)
            cv2.line(hu, (int(x), int(y)), (int(x + rng.integers(-12, 13)), int(y + rng.integers(-12, 13))), 0.0, 1)
        for radius in (3, 5, 9):
            x, y = middle + rng.integers(-45, 46), 256 + rng.integers(-65, 66)
            cv2.circle(hu, (int(x), int(y)), radius, 60.0, cv2.FILLED)
    soft = np.clip((cv2.GaussianBlur(hu, (0, 0), 0.8) - LOW_HU) / (HIGH_HU - LOW_HU), 0, 1)
    return np.asarray(np.rint(soft * 64)[None, None] / 64, np.float32)
