"""The model's card: what it is, for whom, how it was measured and what it fails on. Numbers come from `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.recipe import Recipe
from models.training.report import sections

CARD = """\
# {name} ({id} {version})

{summary}. **{use}**

## What it is

A CMUNeXt-style net (Tang et al., ISBI 2024) of {parameters:,} parameters that sees one axial FLAIR slice at
{spacing:g} mm and {size} × {size} pixels, and gives each pixel the chance that it belongs to the FLAIR abnormality
(tumour and oedema together; it does not tell them apart). A pixel counts from {threshold:g} (the best threshold on the
validation patients). For the findings, slices that showed something and those beside them are read again, mirrored
too, and every slice is blended with its neighbours ({across:g} of each); connected parts under {least:g} ml, or under
{keep:g} of the largest, are left out.

## Who it is for

People who study reading with models: it proposes, a person decides. Not for diagnosis, not for planning, not for
follow-up measurements, and not for any commercial use.

## Data and licence

`{bundle}`: {data}.
{train} patients to train, {validation} to choose the weights and the threshold, {test} held out; split by patient
(seed {seed}). The bundle's grey is 0.299 T1 + 0.587 FLAIR + 0.114 T1c and its pixel spacing is unknown
({spacing:g} mm is assumed); training changes contrast, brightness, shading, size and pose at random, and takes the
skull away from up to three slices in ten, so that the model holds on plain FLAIR.

Weights: {weights}. {remark}

## Measured

As shipped, through the engine (`python -m models.training evaluate`), everything proposed for a patient against
the whole mask; intervals are 95 % bootstrap intervals over patients.

| held-out patients of the bundle | |
|---|---|
| patients | {patients} |
| Dice, mean per patient | **{dice_mean:.3f}** ({dice_low:.3f} to {dice_high:.3f}) |
| Dice, median | {dice_median:.3f} |
| Dice, worst patient | {dice_worst:.3f} |
| IoU, mean | {iou_mean:.3f} |
| 95th percentile Hausdorff distance, median | {hd95_median_mm:.1f} mm |
| patients with a Dice below 0.5 | {below_half} of {patients} |
| sensitivity, precision (voxels, mean per patient) | {sensitivity_mean:.3f}, {precision_mean:.3f} |
| specificity, accuracy (voxels of the whole volume, mean per patient) | {specificity_mean:.4f}, {accuracy_mean:.4f} |
| found / true volume, median (quartiles) | {ratio_median:.2f} ({ratio_low:.2f} to {ratio_high:.2f}) |

The published reference on this collection is 0.836 (mean Dice over 110 patients, cross-validated, a U-Net of 7.8 M
parameters that sees all three sequences: Buda, Saha, Mazurowski 2019). The numbers are not comparable one to one:
other patients, another split.

On two gliomas from elsewhere in the collection's archive, plain FLAIR, skull-stripped, 1 mm. **The reference there
is a consensus of algorithms, not an expert's drawing**, so this is agreement and not accuracy. The two were looked at
while the augmentation was made, so they are no unseen test either:

| case | Dice | found, ml | consensus, ml |
|---|---|---|---|
{elsewhere}

## What it fails on

{failures}

Not measured: other scanners, field strengths and hospitals; children; after surgery or radiotherapy; metastases,
lymphoma, demyelination, stroke, small-vessel disease (all bright on FLAIR, and likely to be outlined too); high-grade
gliomas as a group; tilted or sagittal acquisitions; 3-D FLAIR.
"""


def card(recipe: Recipe, manifest: dict[str, Any], counts: dict[str, int], measured: dict[str, Any]) -> str:
    """The card as Markdown; ``manifest`` is what model.toml says, with the parameters counted in its results."""
    prepare, output = manifest["prepare"], manifest["outputs"][0]
    ratios = sorted(row["found_ml"] / max(row["truth_ml"], 1e-9) for row in measured["table"])
    quarter = len(ratios) // 4
    rows = [
        f"| {case['name']} | {case['dice']:.3f} | {case['found_ml']:.0f} | {case['truth_ml']:.0f} |"
        for case in measured["elsewhere"]
    ]
    return CARD.format(
        **{key: manifest[key] for key in ("id", "name", "version", "summary", "use")},
        **measured["held_out"],
        **counts,
        parameters=manifest["results"]["parameters"],
        spacing=prepare["spacing_mm"][0],
        size=prepare["size"][0],
        threshold=output["threshold"],
        least=output["min_volume_ml"],
        keep=output["keep"],
        across=manifest["refine"]["across"],
        bundle=recipe.bundle,
        data=manifest["licence"]["data"],
        weights=manifest["licence"]["weights"],
        remark=recipe.remark,
        seed=recipe.seed,
        ratio_median=ratios[len(ratios) // 2],
        ratio_low=ratios[quarter],
        ratio_high=ratios[-1 - quarter],
        elsewhere="\n".join(rows),
        failures=failures(measured["table"]),
    )


def failures(table: list[dict[str, Any]]) -> str:
    """What the held-out patients show: by size of the tumour, and the worst of them."""
    by_size = sorted(table, key=lambda row: float(row["truth_ml"]))
    third = max(1, len(by_size) // 3)
    parts = (("smallest", by_size[:third]), ("middle", by_size[third:-third]), ("largest", by_size[-third:]))
    lines = []
    for name, rows in parts:
        if rows:
            mean = sum(row["dice"] for row in rows) / len(rows)
            sizes = f"{rows[0]['truth_ml']:.0f} to {rows[-1]['truth_ml']:.0f} ml at the assumed spacing"
            lines.append(f"- The {name} third of the tumours ({sizes}): mean Dice {mean:.3f}.")
    for row in sorted(table, key=lambda row: float(row["dice"]))[:3]:
        missed = "misses part of it" if row["sensitivity"] < row["precision"] else "draws too much"
        lines.append(
            f"- Dice {row['dice']:.2f} on a tumour of {row['truth_ml']:.0f} ml: it {missed} (sensitivity"
            f" {row['sensitivity']:.2f}, precision {row['precision']:.2f})."
        )
    return "\n".join(lines)


def write(folder: Path, text: str) -> None:
    """Put the card beside the weights, and under it the plots and the table of variants that lie in the folder."""
    (folder / "CARD.md").write_text(text + sections(folder), encoding="utf-8")


def refresh(folder: Path) -> None:
    """Bring the plots and the table of variants of a card up to date, where there is one yet."""
    if not (folder / "CARD.md").exists():
        return
    text = (folder / "CARD.md").read_text("utf-8")
    for heading in ("\n## Figures\n", "\n## Variants\n"):
        text = text.split(heading)[0]
    write(folder, text)
