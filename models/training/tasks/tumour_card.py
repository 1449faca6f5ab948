"""The card of the model that outlines and names a tumour on T1c."""

CARD = """\
# {name} ({id} {version})

{summary}. **{use}**

## What it is

A CMUNeXt-style net (Tang et al., ISBI 2024) of {parameters:,} parameters that sees one slice of a contrast-enhanced T1
series at {spacing:g} mm and {size} × {size} pixels. It gives each pixel the chance that it belongs to a tumour (it
counts from {threshold:g}, the best threshold on the validation blocks), and each slice the chances of glioma,
meningioma and pituitary tumour; a finding takes the likeliest class over its voxels. For the findings every slice that
showed something is read mirrored as well; connected parts under {least:g} ml, or under {keep:g} of the largest, are
left out.

## Who it is for

People who study reading with models: it proposes, a person decides. Not for diagnosis, not for planning, not for
follow-up measurements. The name that it gives is a guess among three, not a diagnosis: metastases, lymphoma,
abscesses, schwannomas and everything else get one of the three names too.

## Data and licence

`{bundle}`: {data}.
{train} slices to train, {validation} to choose the weights and the threshold, {test} held out, in blocks of 64
neighbouring slices (seed {seed}, fold {fold}). **Patients are not known in this bundle: neighbours stay together, but
one person's axial, coronal and sagittal slices can lie in different blocks. These are block-held-out results, not
patient-held-out ones, and likely to be too good.** Every slice of the bundle shows a tumour. So that the model sees
slices without, {healthy:.0%} of the training slices whose tumour lies on one side had their sick half replaced by the
mirrored other half; how often
it marks something in a healthy head was not measured on real slices. The pixel spacing is not in the bundle
({spacing:g} mm is assumed, half the source's matrix).

Weights: {weights}. {remark}

## Measured

As shipped, through the engine (`python -m models.training evaluate`), each slice as a series of its own; intervals are
95 % bootstrap intervals over blocks.

| held-out blocks of the bundle | |
|---|---|
| slices (blocks) | {slices} ({blocks}) |
| Dice, mean per slice | **{dice:.3f}** ({dice_low:.3f} to {dice_high:.3f}) |
| Dice, median | {dice_median:.3f} |
| slices with nothing of the tumour found | {missed} |
| rightly named | **{accuracy:.3f}** ({accuracy_low:.3f} to {accuracy_high:.3f}) |

A slice is named by its largest finding; one without a finding counts as wrongly named. By class:

{by_class}

How the classes were taken for each other (rows: true class; columns: named):

{confusion}

## What it fails on

{failures}

Not measured: whole series of patients, healthy heads, other scanners and hospitals, children, after surgery or
radiotherapy, tumours of other kinds, more than one tumour, spacings other than the assumed one.
"""
