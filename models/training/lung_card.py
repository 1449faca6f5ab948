"""The card of lung-nodule: what it is, for whom, how it was measured and what it fails on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.training.lung_evaluate import MIDDLE
from models.training.nodules import LUNG_HU, TISSUE_HU

CARD = """\
# {name} ({id} {version})

{summary}. **{use}**

## What it is

Small nets, one after the other. The detector, {detector:,} parameters, sees one axial slice at {spacing:g} mm and
{rows} × {columns} pixels, -1000 to 400 HU, and marks what may be a nodule with a box and a score (an anchor-free
detector, Zhou et al. 2019, on the encoder of CMUNeXt, Tang et al., ISBI 2024).
{looks}
A mark counts from a score of {threshold:g}: {false_marks:g} false marks a crop of 9 × 9 cm on the validation patients.
Boxes of neighbouring slices that overlap become one finding. No net sees neighbouring slices: a vessel that
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
  numbers, and those of the second look, are optimistic. The outlines saw no patch: theirs are held out by patient.
- For the second look also bright places of the LIDC crops that no reader has marked, and places as they are outside of
  the lung, which the bundles hardly show: edges of the chest wall, the same with air instead of lung (as skin and couch
  look), and nodules with fat around them instead of lung (as nodes and vessels of the armpit look), labelled as none.
- Pixels are taken for {spacing:g} mm, the bundles do not say; training scales them by 0.75 to 1.35, by 0.7 to 1.4 for
  the second look.

{remark}

## Measured

The graphs as shipped; intervals are 95 % bootstrap intervals over patients, or patches, or slices where no patient is
known. A mark hits when its middle is nearer to the nodule's than half the nodule's longer side, or than 3 pixels.

{tables}
The {chest_ct[slices]} slices come again and again, and whatever else there is on them counts as false, also what may be
a nodule. Only nodules with nothing but lung around them were put there: those at the chest wall are not in it. A slice
is not a scan: these rates are not those of LUNA16.

The same CT as it is (22 slices of 3 mm through the hila, nobody says what is on them): {chest_ct[findings]} findings,
{chest_ct[on_one_slice_only]} of them on one slice only{chest_before}. {looked}

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


LOOKS = {
    "verify": """\
The second look, a residual net of {parameters:,} parameters (He et al., CVPR 2016), sees {crop} × {crop} pixels around
a box with the same grey values and says how likely a nodule lies in the middle: the false-positive reduction of LUNA16
(Setio et al. 2017). A box that the detector scores {floor:g} or more is looked at, and where that gives a chance of
{again:g} or more once again upside down, of which the geometric mean of both odds is made; its score then is the
geometric mean of the odds of detector and second look.""",
    "contour": """\
The outline, CMUNeXt-S with {parameters:,} parameters, sees {crop} × {crop} pixels around a box, stretched from the
darkest to the brightest of them, and outlines what lies in it.""",
}
SHIPPED = "as shipped"
ALONE = "detector alone"


def text(table: Mapping[str, Any], counts: Mapping[str, int], remark: str) -> str:
    """The card of a model folder whose model.toml says ``table``; ``counts`` are the patients of each part."""
    results, prepare = table["results"], table["prepare"]
    before = results.get("detector", {}).get("chest_ct")
    return CARD.format(
        **{key: table[key] for key in ("id", "name", "version", "summary", "use")},
        **counts,
        chest_ct=results["chest_ct"],
        chest_before=f"; {before['findings']} with the detector alone at its own threshold" if before else "",
        detector=results["parameters"]["detector"],
        looks="\n".join(
            form.format(
                parameters=results["parameters"][name],
                crop=table[name]["size"][0],
                **{word: table[name].get(word, 0) for word in ("floor", "again")},
            )
            for name, form in LOOKS.items()
            if name in table
        ),
        lung=LUNG_HU[0],
        tissue=TISSUE_HU[0],
        false_marks=results["false_marks_chosen"],
        spacing=prepare["spacing_mm"][0],
        rows=prepare["size"][0],
        columns=prepare["size"][1],
        threshold=table["outputs"][0]["threshold"],
        data=table["licence"]["data"],
        weights=table["licence"]["weights"],
        tables=_tables(results, table["outputs"][0]["threshold"]),
        outlines=_outlines(results),
        failures=_failures(results),
        looked=results.get("looked", ""),
        remark=remark,
    )


def _tables(results: Mapping[str, Any], threshold: float) -> str:
    """What was measured, as shipped and, where there is a second look, for the detector alone."""
    columns = {f"{SHIPPED}, from {threshold:g}": results}
    if "detector" in results:
        columns[f"{ALONE}, from {results['threshold_detector']:g}"] = results["detector"]
    patches, crops, placed = ([one[name] for one in columns.values()] for name in ("patches", "crops", "placed"))
    shipped, held, put = patches[0], crops[0], placed[0]
    rows = {
        f"patches of LUNA16, the surest mark within {MIDDLE:g} pixels of the middle ({shipped['nodules']} with nodule,"
        f" {shipped['others']} without)": {
            "AUC": [f"**{one['auc']:.3f}** ({one['auc_low']:.3f} to {one['auc_high']:.3f})" for one in patches],
            "sensitivity, specificity": [f"{one['sensitivity']:.3f}, {one['specificity']:.3f}" for one in patches],
        },
        f"crops of {held['patients']} held-out patients of LIDC, 9 × 9 cm, one nodule each ({held['nodules']})": {
            **_operating(crops, "crop")
        },
        "**synthetic**: nodules of held-out patients put into the lungs of a real CT, slice by slice"
        f" ({put['nodules']}, one each)": {
            **_operating(placed, "slice"),
            "mean sensitivity at 1/8 to 8 false marks a slice": [f"{one['cpm']:.3f}" for one in placed],
        },
    }
    parts = []
    for title, lines in rows.items():
        parts += [f"| {' | '.join((title, *columns))} |", "|---" * (1 + len(columns)) + "|"]
        parts += [f"| {' | '.join((name, *cells))} |" for name, cells in lines.items()] + [""]
    if "second_look" in results:
        parts += [f"The second look alone, at the middle of each patch: AUC {results['second_look']['auc']:.3f}.", ""]
    return "\n".join(parts)


def _operating(measured: Sequence[Mapping[str, Any]], per: str) -> dict[str, list[str]]:
    return {
        "sensitivity": [
            f"{one['sensitivity']:.3f} ({one['sensitivity_low']:.3f} to {one['sensitivity_high']:.3f})"
            for one in measured
        ],
        f"false marks a {per}": [
            f"{one['false_marks']:.3f} ({one['false_marks_low']:.3f} to {one['false_marks_high']:.3f})"
            for one in measured
        ],
        f"sensitivity at {', '.join(measured[0]['at_marks'])} false marks a {per}": [
            ", ".join(f"{found:.3f}" for found in one["at_marks"].values()) for one in measured
        ],
    }


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
