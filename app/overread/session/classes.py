"""What else a model says of the image that a class is said of, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from overread.domain.finding import Finding, Kind
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import ModelSpec


def siblings(finding: Finding, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The classes that the same model told apart on the same image, with a heatmap each; the given one among them."""
    seen, model = finding.heatmap, finding.model
    if finding.kind is not Kind.CLASSIFICATION or seen is None or model is None:
        return ()
    return tuple(
        other
        for other in findings
        if other.kind is Kind.CLASSIFICATION
        and other.stack_uid == finding.stack_uid
        and other.heatmap is not None
        and other.model is not None
        and other.model.id == model.id
        and (other.heatmap.plane, other.heatmap.index) == (seen.plane, seen.index)
    )


def trust(finding: Finding, detectors: Iterable[OnnxDetector]) -> str:
    """How far the probability of a class can be believed; "" for what is no class, or where its model is not here."""
    if finding.kind is not Kind.CLASSIFICATION or finding.model is None:
        return ""
    known = (d for d in detectors if (d.id, d.spec.sha256) == (finding.model.id, finding.model.sha256))
    detector = next(known, None)
    return "" if detector is None else calibration(detector.spec)


def calibration(spec: ModelSpec) -> str:
    """How the model's probabilities were calibrated, and how far off they were on held-out images, from its results."""
    temperature = spec.results.get("temperature")
    if not isinstance(temperature, (int, float)):
        return "not calibrated"
    text = f"calibrated (temperature {temperature:.2f})"
    tables = (table for table in spec.results.values() if isinstance(table, Mapping))
    looked = next((table for table in tables if "ece" in table), None)
    if looked is not None:
        text += f", off by {looked['ece']:.3f} on the average"
        text += f" on {looked['images']} held-out images" if "images" in looked else ""
    return text
