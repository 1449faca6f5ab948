"""What the pneumonia model is worth: the folder as shipped, through the engine, on the public test and its variants."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import special

from models.training.bundles import Row
from models.training.classification import reliability, roc_auc
from models.training.evaluate import spaced, volume_of
from models.training.measures import Counts, interval_by_patient
from models.training.recipe import Recipe
from models.training.report import FIGURES, Table, reliability_plot, roc_plot
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.infer.detector import OnnxDetector

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]

# What was aimed at on the public test.
AIMS = {"auc": 0.98, "sensitivity": 0.95, "specificity": 0.85}
# Scores this close to 0 and 1 are float32's last.
_EDGE = 1e-7


@dataclass(frozen=True, eq=False)
class Measured:
    """The public test: probabilities (n,), truth (n,), patients, kinds, and one row of measures for each variant."""

    chances: F64
    truth: NDArray[np.bool_]
    patients: tuple[str, ...]
    kinds: tuple[str, ...]
    threshold: float
    temperature: float
    variants: tuple[dict[str, object], ...]

    def between(self, statistic: Callable[[F64, NDArray[np.bool_]], float]) -> tuple[float, float, float]:
        """A statistic of probabilities and truth, with its 95 % bootstrap interval over patients."""
        low, high = interval_by_patient(lambda at: _defined(statistic, self.chances[at], self.truth[at]), self.patients)
        return statistic(self.chances, self.truth), low, high

    def only(self, kind: str) -> Measured:
        """The images of one kind of pneumonia, and the normal ones."""
        kept = np.array([own in (kind, "normal") for own in self.kinds])
        patients = tuple(name for name, keep in zip(self.patients, kept, strict=True) if keep)
        kinds = tuple(name for name, keep in zip(self.kinds, kept, strict=True) if keep)
        return Measured(self.chances[kept], self.truth[kept], patients, kinds, self.threshold, self.temperature, ())

    @property
    def uncalibrated(self) -> F64:
        """What the probabilities would be without the temperature."""
        inner = np.clip(self.chances, _EDGE, 1 - _EDGE)
        return np.asarray(special.expit(special.logit(inner) * self.temperature))

    def counts(self, chances: F64, truth: NDArray[np.bool_]) -> Counts:
        """Right and wrong at the shipped threshold."""
        return Counts.of(chances >= self.threshold, truth)


def _defined(statistic: Callable[[F64, NDArray[np.bool_]], float], chances: F64, truth: NDArray[np.bool_]) -> float:
    """Not a number where a draw has one class only."""
    return float("nan") if truth.all() or not truth.any() else statistic(chances, truth)


def _letterboxed(picture: U8, across: float, down: float, grey: int) -> U8:
    """The picture at a fraction of its size in the middle of a frame of one grey."""
    rows, columns = picture.shape
    small = cv2.resize(picture, (round(columns * across), round(rows * down)), interpolation=cv2.INTER_AREA)
    framed = np.full_like(picture, grey)
    top, left = (rows - small.shape[0]) // 2, (columns - small.shape[1]) // 2
    framed[top : top + small.shape[0], left : left + small.shape[1]] = small
    return framed


def _turned(picture: U8, degrees: float) -> U8:
    rows, columns = picture.shape
    turn = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(picture, turn, (columns, rows), flags=cv2.INTER_LINEAR), np.uint8)


def _powered(picture: U8, power: float) -> U8:
    return np.rint((picture / 255.0) ** power * 255).astype(np.uint8)


def _coarse(picture: U8) -> U8:
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, picture.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _noisy(picture: U8) -> U8:
    noise = np.random.default_rng(int(picture.sum())).normal(0, 12, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


VARIANTS: Mapping[str, Callable[[U8], U8]] = {
    "as it is": lambda picture: picture,
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
    "a quarter narrower, black beside it": lambda picture: _letterboxed(picture, 0.75, 1.0, 0),
    "a quarter lower, black above and below": lambda picture: _letterboxed(picture, 1.0, 0.75, 0),
    "black border of a tenth": lambda picture: _letterboxed(picture, 0.8, 0.8, 0),
    "white border of a tenth": lambda picture: _letterboxed(picture, 0.8, 0.8, 255),
    "outer tenth cut off": lambda picture: np.ascontiguousarray(
        picture[len(picture) // 10 : -(len(picture) // 10), len(picture[0]) // 10 : -(len(picture[0]) // 10)]
    ),
    "turned by 8°": lambda picture: _turned(picture, 8.0),
    "upside down": lambda picture: np.ascontiguousarray(picture[::-1]),
    "darker (gamma 1.6)": lambda picture: _powered(picture, 1.6),
    "brighter (gamma 0.6)": lambda picture: _powered(picture, 0.6),
    "half the resolution": _coarse,
    "noise of 12 grey values": _noisy,
    "inverted": lambda picture: np.asarray(255 - picture, np.uint8),
}


def chance_of(detector: OnnxDetector, picture: U8) -> float:
    """The probability that the engine gives an image (rows, columns)."""
    volume = volume_of(picture[None], spaced((1.0, 1.0, 1.0)), "DX", "")
    (proposal,) = detector(volume, lambda fraction: None)
    return cast("float", proposal.score)  # a classification always has one


def kind_of(row: Row) -> str:
    """What the file name says: bacterial, viral or normal."""
    name = row.image.lower()
    return "bacterial" if "bacteria" in name else "viral" if "virus" in name else "normal"


def measured(
    detector: OnnxDetector, pictures: Sequence[U8] | U8, rows: Sequence[Row], temperature: float, folder: Path
) -> Measured:
    """Run the model on all images, as they are and in each variant, and draw the figures of the card."""
    truth = np.array([row.label == "pneumonia" for row in rows])
    threshold = detector.spec.outputs[0].threshold
    given = {name: np.array([chance_of(detector, change(p)) for p in pictures]) for name, change in VARIANTS.items()}
    table = []
    for name, chances in given.items():
        counts = Counts.of(chances >= threshold, truth)
        table.append(
            {
                "variant": name,
                "AUC": roc_auc(chances, truth),
                "sensitivity": counts.sensitivity,
                "specificity": counts.specificity,
            }
        )
    chances = given["as it is"]
    patients, kinds = tuple(row.group for row in rows), tuple(kind_of(row) for row in rows)
    result = Measured(chances, truth, patients, kinds, threshold, temperature, tuple(table))
    groups = {kind: result.only(kind) for kind in ("bacterial", "viral")}
    curves = {"all": (chances, truth), **{kind: (part.chances, part.truth) for kind, part in groups.items()}}
    roc_plot(curves, folder / FIGURES / "roc.png")
    reliability_plot(reliability(_both(chances), truth), folder / FIGURES / "reliability.png")
    return result


def elsewhere(detector: OnnxDetector, folder: Path) -> tuple[float, str] | None:
    """Probability and photometric interpretation of the radiograph in a folder of DICOM; None where there is none."""
    if not folder.is_dir():
        return None
    with tempfile.TemporaryDirectory() as scratch:
        (stack,) = scanned((folder,), Path(scratch)).stacks
        (proposal,) = detector(loaded(stack), lambda fraction: None)
    return cast("float", proposal.score), stack.encoding.photometric


def _both(chances: F64) -> F64:
    return np.stack([1 - chances, chances], axis=1)


def _ece(chances: F64, truth: NDArray[np.bool_]) -> float:
    return reliability(_both(chances), truth, bins=10).ece


def results(public: Measured) -> dict[str, Any]:
    """What model.toml says."""
    auc = public.between(roc_auc)
    sensitivity = public.between(lambda c, t: public.counts(c, t).sensitivity)
    specificity = public.between(lambda c, t: public.counts(c, t).specificity)
    return {
        "headline": f"AUC {auc[0]:.3f} ({auc[1]:.3f}–{auc[2]:.3f}), sensitivity {sensitivity[0]:.2f} at specificity "
        f"{specificity[0]:.2f}, {len(public.truth)} public test images",
        "public_test": {
            "images": len(public.truth),
            "patients": len(set(public.patients)),
            **_numbers("auc", auc),
            **_numbers("sensitivity", sensitivity),
            **_numbers("specificity", specificity),
            "ece": round(_ece(public.chances, public.truth), 3),
            "ece_uncalibrated": round(_ece(public.uncalibrated, public.truth), 3),
            "brier": round(float(np.mean((public.chances - public.truth) ** 2)), 3),
        },
        **{kind: _group(public.only(kind)) for kind in ("bacterial", "viral")},
    }


def _group(part: Measured) -> dict[str, Any]:
    return {
        "images": int(part.truth.sum()),
        **_numbers("auc", part.between(roc_auc)),
        **_numbers("sensitivity", part.between(lambda c, t: part.counts(c, t).sensitivity)),
    }


def _numbers(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return {name: round(values[0], 3), f"{name}_low": round(values[1], 3), f"{name}_high": round(values[2], 3)}


def card(
    recipe: Recipe,
    manifest: Mapping[str, Any],
    sizes: Mapping[str, Mapping[str, int]],
    public: Measured,
    adult: tuple[float, str] | None,
) -> str:
    """The card as Markdown; ``manifest`` is what model.toml says, ``sizes`` how many images each part has."""
    found, worst = manifest["results"], _mistakes(public)
    spoken = "not measured (no such file)" if adult is None else f"probability {adult[0]:.3f} ({adult[1]})"
    flat = {f"{part}_{name}": value for part, numbers in sizes.items() for name, value in numbers.items()}
    return CARD.format(
        **{key: manifest[key] for key in ("id", "name", "version", "summary", "use")},
        **flat,
        **{f"public_{name}": value for name, value in found["public_test"].items()},
        **{f"{kind}_{name}": value for kind in ("bacterial", "viral") for name, value in found[kind].items()},
        **{f"chosen_{name}": value for name, value in found["validation"].items()},
        parameters=found["parameters"],
        temperature=found["temperature"],
        threshold=public.threshold,
        asked=recipe.data["sensitivity"],
        seed=recipe.seed,
        remark=recipe.remark,
        bundle=recipe.bundle,
        data=manifest["licence"]["data"],
        weights=manifest["licence"]["weights"],
        variants=Table.of(public.variants).markdown(),
        mistakes=worst,
        aims=aims(found["public_test"]),
        adult=spoken,
    )


def aims(found: Mapping[str, float]) -> str:
    """What was aimed at on the public test, and whether it was reached."""
    said = [
        f"{name.upper() if name == 'auc' else name} of {aim:g}: {'' if found[name] >= aim else 'not '}reached"
        for name, aim in AIMS.items()
    ]
    return f"Aimed at before the measurement were an {'; a '.join(said)}."


def _mistakes(public: Measured) -> str:
    """How many of each kind were wrong, and how sure the model was of the worst."""
    lines = []
    for kind in ("normal", "bacterial", "viral"):
        own = np.array([name == kind for name in public.kinds])
        wrong = own & ((public.chances >= public.threshold) != public.truth)
        line = f"- {kind}: {int(wrong.sum())} of {int(own.sum())} images wrong"
        if wrong.any():
            line += f", probabilities {public.chances[wrong].min():.2f} to {public.chances[wrong].max():.2f}"
        lines.append(line + ".")
    return "\n".join(lines)


CARD = """\
# {name} ({id} {version})

{summary}. **{use}**

## What it is

A residual net (He et al., CVPR 2016) of {parameters:,} parameters, trained from scratch, that sees one frontal chest
radiograph stretched to 224 × 224 pixels, its 1st and 99th percentile at 0 and 1, and gives one probability. The image
and its mirror image are both read. The graph also gives the class activation map (CAM, Zhou et al., CVPR 2016;
14 × 14), whose mean and an offset are the logit: it shows where the network found what it counted, which need not be
where the disease is. The probability is calibrated by a temperature of {temperature:g} (Guo et al., ICML 2017), and
“Pneumonia” is said from {threshold:g} on.

## Who it is for

People who study reading with models: it proposes, a person decides. Not for diagnosis, triage, or ruling out
pneumonia, and not for grown-ups.

## Data and licence

`{bundle}`: {data}. Children of one to five years, one hospital in Guangzhou.

| part | normal | pneumonia | patients (by file name) |
|---|---|---|---|
| to train | {train_normal} | {train_pneumonia} | {train_patients} |
| to choose weights, temperature and threshold | {validation_normal} | {validation_pneumonia} | {validation_patients} |
| public test | {test_normal} | {test_pneumonia} | {test_patients} |

Split by patient as the file names tell them (seed {seed}); the source may number the patients of its test part anew,
so that a patient on both sides cannot be excluded. Contents that occur twice were taken once, and none of the public
test's was trained on. Training changes position, size, exposure, sharpness, compression, noise and borders at random,
because in the source the classes differ in all of these.

Weights: {weights}.

## Measured

As shipped, through the engine (`python -m models.training evaluate`); 95 % bootstrap intervals over patients. The
public test chose nothing. {remark}

| public test, {public_images} images of {public_patients} patients | |
|---|---|
| AUC | **{public_auc:.3f}** ({public_auc_low:.3f} to {public_auc_high:.3f}) |
| sensitivity at {threshold:g} | **{public_sensitivity:.3f}** ({public_sensitivity_low:.3f} to \
{public_sensitivity_high:.3f}) |
| specificity at {threshold:g} | **{public_specificity:.3f}** ({public_specificity_low:.3f} to \
{public_specificity_high:.3f}) |
| expected calibration error (10 bins), calibrated | {public_ece:.3f} |
| the same without the temperature | {public_ece_uncalibrated:.3f} |
| Brier score | {public_brier:.3f} |
| bacterial ({bacterial_images}) against normal: AUC | {bacterial_auc:.3f} ({bacterial_auc_low:.3f} to \
{bacterial_auc_high:.3f}) |
| bacterial: sensitivity | {bacterial_sensitivity:.3f} ({bacterial_sensitivity_low:.3f} to \
{bacterial_sensitivity_high:.3f}) |
| viral ({viral_images}) against normal: AUC | {viral_auc:.3f} ({viral_auc_low:.3f} to {viral_auc_high:.3f}) |
| viral: sensitivity | {viral_sensitivity:.3f} ({viral_sensitivity_low:.3f} to {viral_sensitivity_high:.3f}) |

An interval without width is that of a group without a mistake; its lower end is then 1 - 3/n by the rule of three
(Hanley & Lippman-Hand, JAMA 1983). {aims}

On the {chosen_images} validation images, which chose weights, temperature and threshold (a sensitivity of
{asked:g} was asked for): AUC {chosen_auc:.3f}, and {chosen_auc_changed:.3f} with the changes of the training;
sensitivity {chosen_sensitivity:.3f}, specificity {chosen_specificity:.3f}.

## What it fails on

Wrong at the shipped threshold, public test:

{mistakes}

The same images, changed before they were given to the engine, at the same threshold:

{variants}

An inverted image is one whose header says the wrong photometric interpretation; MONOCHROME1 that says so is turned
over by the engine before the model sees it.

One radiograph of a grown-up (CR, truth not known), outside of what the model was made for: {adult}.

Not measured: other hospitals, devices and countries; grown-ups, infants, adolescents; lateral views; lines, tubes,
casts and pacemakers; other diseases (tuberculosis, effusion, heart failure, tumours: the model knows “normal” and
“pneumonia” alone and will call most of them one or the other); whether the activation map lies on the disease, as the
data has no outlines. The classes of the source differ in crop and exposure, and a part of the score may be owed to
that.
"""
