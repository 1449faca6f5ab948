"""Findings as JSON, for the journal and for `findings.json`. Their voxels are named by a digest and kept beside."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from typing import Any

from overread.domain.finding import (
    Act,
    Code,
    Finding,
    Findings,
    Kind,
    Mask,
    Measures,
    ModelSource,
    Reader,
    Status,
    Term,
    VoxelBox,
)
from overread.domain.geometry import Index, Plane
from overread.domain.heatmap import Heatmap, Reason
from overread.domain.mark import Drawn, Mark
from overread.domain.measurement import Measurement, Shape, Value
from overread.domain.objects import ObjectSource
from overread.domain.probability import Probabilities
from overread.domain.ruler import Scale

Record = dict[str, Any]
# What is named by its digest.
Voxels = Mask | Probabilities


@lru_cache(maxsize=2)
def pack(voxels: Voxels) -> bytes:
    """A mask's bits, or a model's probabilities, compressed. What a worker has packed is at hand for the journal."""
    return zlib.compress(voxels.packed, 1) if isinstance(voxels, Mask) else voxels.packed


def voxels_record(voxels: Voxels) -> Record:
    """Where they lie, without what they are."""
    return {"digest": voxels.digest, "shape": voxels.shape, "start": voxels.start, "extent": voxels.extent}


def _index(values: list[int]) -> Index:
    k, j, i = values
    return k, j, i


def read_mask(record: Record, packed: bytes) -> Mask:
    """The mask of a record and its packed bits. ValueError where they are not the ones meant."""
    try:
        bits = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError("a mask in the journal is damaged") from error
    mask = Mask(_index(record["shape"]), _index(record["start"]), _index(record["extent"]), bits)
    if mask.digest != record["digest"]:
        raise ValueError("a mask in the journal is damaged")
    return mask


def read_probabilities(record: Record, packed: bytes) -> Probabilities:
    """The probabilities of a record and their packed values. ValueError where they are not the ones meant."""
    kept = Probabilities(_index(record["shape"]), _index(record["start"]), _index(record["extent"]), packed)
    if kept.digest != record["digest"]:
        raise ValueError("probabilities in the journal are damaged")
    return kept


def _code(code: Code | None) -> list[str] | None:
    return None if code is None else [code.value, code.scheme, code.meaning]


def _act(act: Act) -> list[str]:
    return [act.reader.name, act.verb, act.when.isoformat()]


def to_record(finding: Finding) -> Record:
    """A finding as plain JSON values."""
    model, measures = finding.model, finding.measures
    return {
        "id": finding.id,
        "stack": finding.stack_uid,
        "series": finding.series_uid,
        "number": finding.number,
        "label": finding.label,
        "concept": _code(finding.concept),
        "category": _code(finding.category),
        "anatomy": _code(finding.anatomy),
        "colour": finding.colour,
        "mask": voxels_record(finding.mask),
        "original": None if finding.original is None else voxels_record(finding.original),
        "measures": None
        if measures is None
        else [
            measures.volume_ml,
            measures.long_axis_mm,
            measures.short_axis_mm,
            measures.largest_slice,
            measures.area_mm2,
        ],
        "score": finding.score,
        "model": None
        if model is None
        else [model.id, model.name, model.version, model.sha256, model.backend, model.when.isoformat()],
        "status": finding.status.value,
        "reason": finding.reason,
        "acts": [_act(act) for act in finding.acts],
        "kind": finding.kind.value,
        "box": finding.box,
        "threshold": finding.threshold,
        "classes": [list(entry) for entry in finding.classes],
        "heatmap": None if finding.heatmap is None else _heatmap_record(finding.heatmap),
        "moved": finding.moved,
        "proposed": None if finding.proposed is None else _term_record(finding.proposed),
        "present": finding.present,
        "measurement": None if finding.measurement is None else _measurement_record(finding.measurement),
        "source": None if finding.source is None else asdict(finding.source),
        "marks": [[mark.drawn.value, mark.points, mark.text] for mark in finding.marks],
        "probabilities": None if finding.probabilities is None else voxels_record(finding.probabilities),
        "proposed_site": None if finding.proposed_site is None else [_code(code) for code in finding.proposed_site],
    }


def _term_record(term: Term) -> list[Any]:
    return [term.label, _code(term.concept), _code(term.category)]


def _measurement_record(made: Measurement) -> Record:
    return {
        "shape": made.shape.value,
        "plane": made.plane.value,
        "index": made.index,
        "points": made.points,
        "values": [[_code(v.name), v.number, _code(v.unit), _code(v.derivation)] for v in made.values],
        "scale": made.scale.value,
    }


def _heatmap_record(heatmap: Heatmap) -> Record:
    """A heatmap is small: its numbers stand in the record itself."""
    return {
        "shape": heatmap.shape,
        "values": base64.b64encode(zlib.compress(heatmap.packed)).decode("ascii"),
        "extent": heatmap.extent,
        "plane": heatmap.plane.value,
        "index": heatmap.index,
        "label": heatmap.label,
        "method": heatmap.method,
        "layer": heatmap.layer,
        "backend": heatmap.backend,
    }


def reason_record(finding: Finding, reason: Reason) -> Record:
    """What a model answered about a finding, for an entry of its own: it is no part of the finding's record."""
    heatmap, when = _heatmap_record(reason.heatmap), reason.when.isoformat()
    return {"finding": finding.id, "about": reason.about, "when": when, "heatmap": heatmap}


def read_reason(record: Record) -> tuple[str, Reason]:
    """The id of a finding and what was answered about it. KeyError, ValueError or TypeError where it is damaged."""
    when = datetime.fromisoformat(record["when"])
    return record["finding"], Reason(_heatmap(record["heatmap"]), record["about"], when)


def from_record(
    record: Record, mask_of: Callable[[Record], Mask], probabilities_of: Callable[[Record], Probabilities]
) -> Finding:
    """The finding of a record; `mask_of` finds its masks, `probabilities_of` what its model held for how likely.

    KeyError, ValueError or TypeError where it is damaged.
    """
    model, measures = record["model"], record["measures"]
    return Finding(
        id=record["id"],
        stack_uid=record["stack"],
        series_uid=record["series"],
        number=record["number"],
        label=record["label"],
        concept=Code(*record["concept"]),
        category=Code(*record["category"]),
        anatomy=Code(*record["anatomy"]) if record["anatomy"] else None,
        colour=record["colour"],
        mask=mask_of(record["mask"]),
        original=mask_of(record["original"]) if record["original"] else None,
        measures=Measures(*measures) if measures else None,
        score=record["score"],
        model=_model(model) if model else None,
        status=Status(record["status"]),
        reason=record["reason"],
        acts=tuple(Act(Reader(name), verb, datetime.fromisoformat(when)) for name, verb, when in record["acts"]),
        # Journals from before there were other kinds have no such keys.
        kind=Kind(record.get("kind", Kind.SEGMENTATION)),
        box=_box(record["box"]) if record.get("box") else None,
        threshold=record.get("threshold"),
        classes=tuple((label, probability) for label, probability in record.get("classes", ())),
        heatmap=_heatmap(record["heatmap"]) if record.get("heatmap") else None,
        moved=_box(record["moved"]) if record.get("moved") else None,
        proposed=_term(record["proposed"]) if record.get("proposed") else None,
        present=record.get("present"),
        measurement=_measurement(record["measurement"]) if record.get("measurement") else None,
        source=_source(record["source"]) if record.get("source") else None,
        marks=tuple(_mark(values) for values in record.get("marks", ())),
        probabilities=probabilities_of(record["probabilities"]) if record.get("probabilities") else None,
        proposed_site=None if (site := record.get("proposed_site")) is None else tuple(Code(*code) for code in site),
    )


def _term(values: list[Any]) -> Term:
    label, concept, category = values
    return Term(label, Code(*concept), Code(*category))


def _measurement(record: Record) -> Measurement:
    return Measurement(
        Shape(record["shape"]),
        Plane(record["plane"]),
        record["index"],
        tuple((k, j, i) for k, j, i in record["points"]),
        tuple(
            Value(Code(*name), number, Code(*unit), Code(*derivation) if derivation else None)
            for name, number, unit, derivation in record["values"]
        ),
        Scale(record["scale"]),
    )


def _mark(values: list[Any]) -> Mark:
    drawn, points, text = values
    return Mark(Drawn(drawn), tuple((k, j, i) for k, j, i in points), text)


def _source(record: Record) -> ObjectSource:
    return ObjectSource(**{**record, "said": tuple((name, value) for name, value in record["said"])})


def _box(values: list[int]) -> VoxelBox:
    k0, j0, i0, k1, j1, i1 = values
    return k0, j0, i0, k1, j1, i1


def _heatmap(record: Record) -> Heatmap:
    try:
        packed = zlib.decompress(base64.b64decode(record["values"], validate=True))
    except zlib.error as error:
        raise ValueError("a heatmap in the journal is damaged") from error
    (rows, columns), (top, left, bottom, right) = record["shape"], record["extent"]
    return Heatmap(
        (rows, columns),
        packed,
        (top, left, bottom, right),
        Plane(record["plane"]),
        record["index"],
        record["label"],
        record["method"],
        record["layer"],
        record.get("backend", ""),
    )


def _model(values: list[str]) -> ModelSource:
    model_id, name, version, sha256, backend, when = values
    return ModelSource(model_id, name, version, sha256, backend, datetime.fromisoformat(when))


def voxels_of(finding: Finding) -> tuple[Voxels, ...]:
    """The masks that a finding holds, and its model's probabilities."""
    held = finding.mask, finding.original, finding.probabilities
    return tuple(voxels for voxels in held if voxels is not None)


def parts(findings: Findings) -> dict[str, int]:
    """What findings hold of voxels, by digest, with the bytes."""
    return {voxels.digest: len(voxels.packed) for finding in findings for voxels in voxels_of(finding)}
