"""The card of lung-nodule: what it is, for whom, how it was measured and what it fails on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.training.lung_evaluate import MIDDLE
from models.training.nodules import LUNG_HU, TISSUE_HU

CARD = """\
# {name} ({id} {version})

{summary}. **{use}**

## What it is

Two small nets. The first, {parameters_detector:,} parameters, sees one axial slice at {spacing:g} mm and {rows} ×
{columns} pixels, -1000 to 400 HU, and marks nodules with a box and a score (an anchor-free detector, Zhou et al. 2019,
on the encoder of CMUNeXt, Tang et al., ISBI 2024). The second, CMUNeXt-S with {parameters_outline:,} parameters, sees
{crop} × {crop} pixels around a box, stretched from the darkest to the brightest of them, and outlines what lies in it.
A mark counts from a score of {threshold:g}: {false_marks:g} false marks a crop of 9 × 9 cm on the validation patients.
Boxes of neighbouring slices that overlap become one finding. Neither net sees neighbouring slices: a vessel that
crosses the slice looks like a nodule to them.

## Who it is for

People who study reading with models: it proposes, a person decides. Not for diagnosis, not for screening, not for
follow-up measurements.

## Data and licence

{data}. Weights: {weights}.

- Crops of LIDC-IDRI, 128 × 128 pixels around a nodule: {train} patients to train, {validation} to choose weights and
  thresholds, {test} held out, split by patient; the target is what two of four readers or more have marked. What one
  reader alone marked is neither taught nor counted. Each crop was stretched by itself, its HU are lost: lung and soft
  tissue are looked for in its histogram and laid at {lung:g} and {tissue:g} HU, in training with a random error.
- Patches of LUNA16, 50 × 50 pixels, with and without a nodule in the middle. A tenth of the source's training patches
  chooses the weights; its validation patches are only measured on. **No scan or patient is known there**, and the
  patients are those of LIDC: a patch of a patient who is held out above may have been trained on. So the detector's
  numbers are optimistic. The outlines saw no patch: theirs are held out by patient.
- Pixels are taken for {spacing:g} mm, the bundles do not say; training scales them by 0.75 to 1.35.

## Measured

The graphs as shipped; intervals are 95 % bootstrap intervals over patients, or patches, or slices where no patient is
known. A mark hits when its middle is nearer to the nodule's than half the nodule's longer side, or than 3 pixels.

| patches of LUNA16, the surest mark within {middle:g} pixels of the middle | |
|---|---|
| with nodule, without | {patches[nodules]}, {patches[others]} |
| AUC | **{patches[auc]:.3f}** ({patches[auc_low]:.3f} to {patches[auc_high]:.3f}) |
| AUC of the surest mark anywhere on the patch | {patches[auc_anywhere]:.3f} |
| sensitivity, specificity at {threshold:g} | {patches[sensitivity]:.3f}, {patches[specificity]:.3f} |

| crops of held-out patients of LIDC, 9 × 9 cm, one nodule each | |
|---|---|
| patients, nodule slices | {crops[patients]}, {crops[nodules]} |
| sensitivity at {threshold:g} | {crops[sensitivity]:.3f} ({crops[sensitivity_low]:.3f} to \
{crops[sensitivity_high]:.3f}) |
| false marks a crop at {threshold:g} | {crops[false_marks]:.3f} ({crops[false_marks_low]:.3f} to \
{crops[false_marks_high]:.3f}) |
| {crops_curve} |

| **synthetic**: nodules of held-out patients put into the lungs of a real CT, slice by slice | |
|---|---|
| slices, one nodule each | {placed[nodules]} |
| sensitivity at {threshold:g} | {placed[sensitivity]:.3f} ({placed[sensitivity_low]:.3f} to \
{placed[sensitivity_high]:.3f}) |
| false marks a slice at {threshold:g} | {placed[false_marks]:.2f} ({placed[false_marks_low]:.2f} to \
{placed[false_marks_high]:.2f}) |
| {placed_curve} |
| mean sensitivity at 1/8 to 8 false marks a slice | {placed[cpm]:.3f} |

The {chest_ct[slices]} slices come again and again, and whatever else there is on them counts as false, also what may be
a nodule. Only nodules with nothing but lung around them were put there: those at the chest wall are not in it. A slice
is not a scan: these rates are not those of LUNA16.

The same CT as it is (22 slices of 3 mm through the hila, nobody says what is on them): {chest_ct[findings]} findings,
{chest_ct[on_one_slice_only]} of them on one slice only. {looked}

{history}

{outlines}
## What it fails on

{failures}

Not measured: whole scans with readers' marks; other scanners and kernels by name; contrast phases; thick slices; ground
glass as a group (the bundles do not tell it apart); children; after operations; what is no nodule (infiltrates, scars,
metastases in great number), which it may well mark. Bone, hilar vessels and the chest wall's edge are where its
false marks are to be expected.
"""

# What the table of outlines says, a row each.
OUTLINES = {
    "patients, slices": "{patients}, {slices}",
    "Dice, mean over slices": "**{dice_mean:.3f}** ({dice_low:.3f} to {dice_high:.3f})",
    "Dice, median": "{dice_median:.3f}",
    "Dice, mean over patients": "{dice_by_patient:.3f} ({dice_by_patient_low:.3f} to {dice_by_patient_high:.3f})",
    "slices with a Dice below 0.5": "{below_half}",
}
COLUMNS = {"outlines": "in the true box", "outlines_of_marks": "in the marks that hit"}


def text(table: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """The card of a model folder whose model.toml says ``table``; ``counts`` are the patients of each part."""
    results, prepare = table["results"], table["prepare"]
    contour = table.get("contour", {"size": [0, 0]})
    return CARD.format(
        **{key: table[key] for key in ("id", "name", "version", "summary", "use")},
        **counts,
        **{key: results[key] for key in ("patches", "crops", "placed", "chest_ct", "parameters_detector")},
        middle=MIDDLE,
        lung=LUNG_HU[0],
        tissue=TISSUE_HU[0],
        false_marks=results["false_marks_chosen"],
        parameters_outline=results.get("parameters_outline", 0),
        spacing=prepare["spacing_mm"][0],
        rows=prepare["size"][0],
        columns=prepare["size"][1],
        crop=contour["size"][0],
        threshold=table["outputs"][0]["threshold"],
        data=table["licence"]["data"],
        weights=table["licence"]["weights"],
        crops_curve=_curve(results["crops"], "crop"),
        placed_curve=_curve(results["placed"], "slice"),
        outlines=_outlines(results),
        failures=_failures(results),
        looked=results.get("looked", ""),
        history=results.get("history", ""),
    )


def _curve(measured: Mapping[str, Any], per: str) -> str:
    rates = measured["at_marks"]
    return f"sensitivity at {', '.join(rates)} false marks a {per} | " + ", ".join(f"{s:.3f}" for s in rates.values())


def _outlines(results: Mapping[str, Any]) -> str:
    measured = {title: results[key] for key, title in COLUMNS.items() if key in results}
    if not measured:
        return ""
    first = "outlines on held-out patients of LIDC, against what two readers or more have marked"
    lines = [
        f"| {' | '.join((first, *measured))} |",
        "|---" * (1 + len(measured)) + "|",
        *(
            f"| {row} | {' | '.join(form.format(**one) for one in measured.values())} |"
            for row, form in OUTLINES.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _failures(results: Mapping[str, Any]) -> str:
    lines = [
        f"- Nodules of {name} on held-out crops ({group['nodules']}): {1 - group['sensitivity']:.0%} missed."
        for name, group in results["crops"]["by_size"].items()
    ]
    if "outlines" in results:
        lines += [
            f"- Outlines of nodules of {name} ({group['slices']} slices): mean Dice {group['dice']:.3f}."
            for name, group in results["outlines"]["by_size"].items()
        ]
    return "\n".join(lines)
