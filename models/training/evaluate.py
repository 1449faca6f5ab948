"""What a model is worth: the folder as shipped, through the engine, on people it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.collections import items
from models.training.measures import Counts, hd95, interval
from overread.domain.geometry import Grid
from overread.domain.study import Encoding, Identity, Stack
from overread.domain.volume import Volume
from overread.infer.detector import OnnxDetector

CASES = ("glioma-fg6692-brats", "glioma-du7294-brats")


@dataclass(frozen=True)
class Score:
    """One person: overlap, and volumes in ml (for the bundle: at the assumed spacing)."""

    name: str
    dice: float
    iou: float
    sensitivity: float
    specificity: float
    precision: float
    accuracy: float
    hd95_mm: float
    truth_ml: float
    found_ml: float


def volume_of(
    voxels: NDArray[np.generic], affine: NDArray[np.float64], modality: str = "MR", role: str = "FLAIR"
) -> Volume:
    """Voxels (k, j, i) that come from no DICOM file, as a volume that the engine reads."""
    k, j, i = voxels.shape
    nobody = Identity("", "", "", "", "", "", "", "", None, "", modality, "")
    stack = Stack("evaluation", nobody, Grid((k, j, i), affine), (), Encoding(j, i), role=role)
    return Volume(stack, voxels, np.ones(k), np.zeros(k))


def spaced(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """An affine without turning, spacings in the order k, j, i."""
    return np.diag([*spacing_mm, 1.0])[[2, 1, 0, 3]]


def scored(name: str, detector: OnnxDetector, volume: Volume, truth: NDArray[np.bool_]) -> Score:
    """Run the model on all slices and compare everything it proposes with the truth (k, j, i)."""
    found = np.zeros(truth.shape, np.bool_)
    for proposal in detector(volume, lambda fraction: None):
        found |= proposal.mask.voxels
    counts = Counts.of(found, truth)
    voxel_ml = float(np.prod(volume.grid.spacing)) / 1000
    return Score(
        name,
        counts.dice,
        counts.iou,
        counts.sensitivity,
        counts.specificity,
        counts.precision if found.any() else 0.0,  # what finds nothing is not right about it
        counts.accuracy,
        hd95(found, truth, volume.grid.spacing),
        float(truth.sum()) * voxel_ml,
        float(found.sum()) * voxel_ml,
    )


def elsewhere(data: Path, detector: OnnxDetector) -> list[Score]:
    """Two skull-stripped FLAIR volumes of 1 mm; the truth is a consensus of algorithms, not an expert's."""
    scores = []
    for case in CASES:
        folder = data / "nifti" / case
        image = _only(folder, "*_fla_bet.nii.gz")
        voxels = np.rint(items.volume(image)).astype(np.int32)
        truth = items.volume(_only(folder, "*_seg_simple.nii.gz")).astype(np.bool_)
        scores.append(scored(case, detector, volume_of(voxels, items.grid(image).affine), truth))
    return scores


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def summary(scores: Sequence[Score]) -> dict[str, Any]:
    """Mean, median and 95 % bootstrap interval of the per-patient Dice, and what else the card says."""
    values = [score.dice for score in scores]
    low, high = interval(values)
    return {
        "patients": len(scores),
        "dice_mean": round(float(np.mean(values)), 3),
        "dice_low": round(low, 3),
        "dice_high": round(high, 3),
        "dice_median": round(float(np.median(values)), 3),
        "dice_worst": round(min(values), 3),
        "iou_mean": round(float(np.mean([s.iou for s in scores])), 3),
        "hd95_median_mm": round(float(np.median([s.hd95_mm for s in scores])), 1),
        "specificity_mean": round(float(np.mean([s.specificity for s in scores])), 4),
        "accuracy_mean": round(float(np.mean([s.accuracy for s in scores])), 4),
        "sensitivity_mean": round(float(np.mean([s.sensitivity for s in scores])), 3),
        "precision_mean": round(float(np.mean([s.precision for s in scores])), 3),
        "below_half": sum(value < 0.5 for value in values),
    }
