"""Measures lung-nodule as it stands in its folder, writes the results into model.toml, and its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray

from models.training import card, lung_card, recipe
from models.training.classification import roc_auc
from models.training.detection import Scan, froc, matched
from models.training.export import write_manifest
from models.training.lung_evaluate import (
    ASSUMED_MM,
    Outline,
    chest,
    crop_scans,
    middle_chances,
    outlines,
    patch_scores,
    placed_scans,
    verifier_of,
)
from models.training.measures import interval, interval_by_patient
from models.training.nodules import READERS, U8, Crops, box_of, read_crops, read_patches
from models.training.report import FIGURES, froc_plot, roc_plot
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.serving import Served
from overread.infer.detect import Outliner
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import ModelSpec, read

RECIPE = Path(__file__).parent / "lung_nodule.toml"
PATCHES = "luna-patches.zip"
# Longer side of a nodule's box, pixels: what the groups are called, and where the next one begins.
GROUPS = (("up to 6 pixels", 7), ("7 to 12 pixels", 13), ("13 pixels and more", 1000))
ROUNDS = 8


def write(folder: Path, data: Path, fold: int) -> None:
    """Measure the folder with all its graphs; write model.toml's results, figures and CARD.md.

    Whichever graph was exported last, the recipe of the whole says what the card does.
    """
    spec, whole = read(folder), recipe.read(RECIPE)
    served = Chain((REFERENCE,)).serve(spec)
    crops = read_crops(data / "train" / whole.bundle)
    parts = crops.parts(whole.folds, whole.seed, fold)
    measured = measure(spec, served, data, crops.of(parts.test), whole.seed, folder / FIGURES)
    table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
    table["results"] = {**dict(spec.results), "headline": headline(measured), **measured}
    write_manifest(folder, table)
    counts = {name: len(getattr(parts, name)) for name in ("train", "validation", "test")}
    card.write(folder, lung_card.text(table, counts, whole.remark))


def measure(
    spec: ModelSpec, served: Served, data: Path, held: Crops, seed: int, figures: Path
) -> dict[str, dict[str, Any]]:
    """Everything that the card says, by what it was measured on; ``held`` are the crops of the held-out patients."""
    held = held.picked([int(at) for at in held.agreed])
    patches = read_patches(data / "train" / PATCHES).parts(seed)["test"]
    threshold = spec.outputs[0].threshold
    scores = {"as shipped": patch_scores(spec, served, patches.images)}
    scans, marks = crop_scans(spec, served, held)
    sides = [_side(readers) for readers in held.readers]
    placed, placed_sides = placed_scans(spec, served, data, held, ROUNDS, seed)
    measured: dict[str, dict[str, Any]] = {
        "patches": on_patches(scores["as shipped"], patches.nodule, threshold),
        "crops": {
            "patients": len(set(held.patients)),
            **operating(scans, sides, threshold, held.patients),
        },
        "placed": operating(placed, placed_sides, threshold, range(len(placed))),
        "chest_ct": unlabelled(spec, data),
    }
    if (verifier := verifier_of(spec, served)) is not None:
        alone = detector_alone(spec)
        scores["second look alone"] = middle_chances(verifier, patches.images)
        scores["detector alone"] = patch_scores(alone, served, patches.images)
        measured["second_look"] = {"auc": _short(roc_auc(scores["second look alone"], patches.nodule))}
        without, _ = placed_scans(alone, served, data, held, ROUNDS, seed)
        level = alone.outputs[0].threshold
        measured["detector"] = {
            "patches": on_patches(scores["detector alone"], patches.nodule, level),
            "crops": operating(crop_scans(alone, served, held)[0], sides, level, held.patients),
            "placed": operating(without, placed_sides, level, range(len(without))),
            "chest_ct": unlabelled(alone, data),
        }
    roc_plot({name: (some, patches.nodule) for name, some in scores.items()}, figures / "roc.png")
    froc_plot(froc(placed), figures / "froc.png")
    if spec.contour is not None:
        outliner = Outliner(spec.contour, served.looks["contour"], (ASSUMED_MM, ASSUMED_MM))
        measured["outlines"] = overlap(outlines(outliner, held))
        above = [own[own[:, 4] >= threshold] for own in marks]
        if in_marks := outlines(outliner, held, above):
            measured["outlines_of_marks"] = overlap(in_marks)
    return measured


def detector_alone(spec: ModelSpec) -> ModelSpec:
    """The model without its second look, at the threshold that was chosen for the detector alone."""
    (output,) = spec.outputs
    level = float(spec.results["threshold_detector"])
    return replace(spec, verify=None, outputs=(replace(output, threshold=level),))


def on_patches(scores: NDArray[np.float64], nodule: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    """AUC with its interval over patches, and sensitivity and specificity at the threshold."""
    low, high = interval_by_patient(lambda at: _auc(scores[at], nodule[at]), range(len(scores)))
    return {
        "nodules": int(nodule.sum()),
        "others": int((~nodule).sum()),
        "auc": _short(roc_auc(scores, nodule)),
        "auc_low": _short(low),
        "auc_high": _short(high),
        "sensitivity": _short((scores >= threshold)[nodule].mean()),
        "specificity": _short((scores < threshold)[~nodule].mean()),
    }


def operating(scans: Sequence[Scan], sides: Sequence[int], threshold: float, whose: Sequence[Any]) -> dict[str, Any]:
    """Sensitivity and false marks a scan at the threshold, with intervals over ``whose``; by size; and the curve."""
    curve = froc(scans)
    found, wrong = (np.array(column) for column in zip(*(_above(scan, threshold) for scan in scans), strict=True))
    low, high = interval_by_patient(lambda at: float(found[at].mean()), whose)
    fewest, most = interval_by_patient(lambda at: float(wrong[at].mean()), whose)
    by_size = {
        name: {"nodules": int(own.sum()), "sensitivity": _short(found[own].mean())}
        for name, own in _groups(sides).items()
        if own.any()
    }
    return {
        "nodules": len(scans),
        "sensitivity": _short(found.mean()),
        "sensitivity_low": _short(low),
        "sensitivity_high": _short(high),
        "false_marks": _short(wrong.mean()),
        "false_marks_low": _short(fewest),
        "false_marks_high": _short(most),
        "cpm": _short(curve.cpm),
        "at_marks": {name: _short(curve.sensitivity_at(rate)) for name, rate in _RATES.items()},
        "by_size": by_size,
    }


_RATES = {"1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "1": 1.0, "2": 2.0, "4": 4.0, "8": 8.0}


def overlap(measured: Sequence[Outline]) -> dict[str, Any]:
    """Dice of outlines, a mean over slices, with an interval over patients; by size."""
    values = np.array([one.dice for one in measured])
    low, high = interval_by_patient(lambda at: float(values[at].mean()), [one.patient for one in measured])
    people: dict[str, list[float]] = {}
    for one in measured:
        people.setdefault(one.patient, []).append(one.dice)
    means = [float(np.mean(own)) for own in people.values()]
    return {
        "slices": len(measured),
        "patients": len(people),
        "dice_mean": _short(values.mean()),
        "dice_low": _short(low),
        "dice_high": _short(high),
        "dice_median": _short(np.median(values)),
        "dice_by_patient": _short(np.mean(means)),
        "dice_by_patient_low": _short(interval(means)[0]),
        "dice_by_patient_high": _short(interval(means)[1]),
        "below_half": int((values < 0.5).sum()),
        "by_size": {
            name: {"slices": int(own.sum()), "dice": _short(values[own].mean())}
            for name, own in _groups([one.side for one in measured]).items()
            if own.any()
        },
    }


def unlabelled(spec: ModelSpec, data: Path) -> dict[str, Any]:
    """What the engine proposes on the chest CT, of which nobody says what is in it."""
    volume = chest(data)
    proposals = OnnxDetector(spec, Chain((REFERENCE,)))(volume, lambda fraction: None)
    boxes = [proposal.box for proposal in proposals if proposal.box is not None]
    return {
        "slices": volume.grid.shape[0],
        "findings": len(boxes),
        "on_one_slice_only": sum(box[3] - box[0] == 1 for box in boxes),
        "scores": [_short(proposal.score or 0.0) for proposal in proposals],
    }


def headline(measured: dict[str, dict[str, Any]]) -> str:
    """One line."""
    patches = measured["patches"]
    line = f"AUC {patches['auc']:.3f} ({patches['auc_low']:.3f}–{patches['auc_high']:.3f}) on patches"
    if (outlined := measured.get("outlines")) is not None:
        line += (
            f", outlines Dice {outlined['dice_mean']:.3f} ({outlined['dice_low']:.3f}–{outlined['dice_high']:.3f}),"
            f" {outlined['patients']} held-out patients"
        )
    return line


def _short(value: float | np.floating) -> float:
    return round(float(value), 3)


def _auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return roc_auc(scores, truth) if truth.any() and not truth.all() else float("nan")


def _side(readers: U8) -> int:
    row0, column0, row1, column1 = box_of(readers >= READERS)
    return max(row1 - row0, column1 - column0)


def _groups(sides: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """Which nodules belong to which group of sizes."""
    number = np.searchsorted([end for _, end in GROUPS], np.asarray(sides), side="right")
    return {name: number == at for at, (name, _) in enumerate(GROUPS)}


def _above(scan: Scan, threshold: float) -> tuple[bool, int]:
    """Whether the nodule of a scan is found at a threshold, and how many marks hit nothing."""
    marks = matched(scan)
    above = marks.scores >= threshold
    return bool((above & (marks.truth >= 0)).any()), int((above & marks.false_positive).sum())
