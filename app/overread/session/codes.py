"""The concepts that a finding can be called by: those of the table that came with the program, and the reader's own."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from overread import paths
from overread.domain.errors import UserError
from overread.domain.finding import Code

_COLUMNS = ("kind", "value", "scheme", "meaning", "category", "category_meaning")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMY = "91723000"  # Anatomical Structure (SCT)
_SCHEMES = ("SCT", "DCM", "UCUM")


@dataclass(frozen=True)
class Concept:
    """What something is called. `kind` is "finding", "place" or "unit"; findings have the category that a SEG names."""

    kind: str
    code: Code
    category: Code | None = None

    @property
    def is_anatomy(self) -> bool:
        """Whether it is a part of the body, which can be outlined, and in which other things can lie."""
        return self.category is not None and self.category.value == _ANATOMY


def own_table() -> Path:
    """Where the concepts lie that the reader added; a table of the same columns as the program's own."""
    return paths.config() / "codes.csv"


def concepts() -> tuple[Concept, ...]:
    """All there are, the reader's own first. UserError where the reader's table cannot be read."""
    own = own_table()
    if not own.exists():
        return _shipped()
    try:
        return (*_read(own), *_shipped())
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"{own} is no table of concepts.", "Correct it, or move it elsewhere.") from error


def search(text: str, kind: str = "finding", limit: int = 50) -> tuple[Concept, ...]:
    """What holds every word of ``text`` in its meaning or is the value itself; what begins so comes first.

    Parts of the body that can be outlined are places as well.

    Of the same rank the shorter one comes first: it is the more general. UserError as `concepts` says.
    """
    words = text.lower().split()
    among = [one for one in concepts() if one.kind == kind or (kind == "place" and one.is_anatomy)]
    hits = [
        one
        for one in among
        if one.code.value == text.strip() or all(word in one.code.meaning.lower() for word in words)
    ]

    def rank(one: Concept) -> tuple[int, int, str]:
        meaning = one.code.meaning.lower()
        begun = sum(any(part.startswith(word) for part in meaning.split()) for word in words)
        whole = meaning == text.lower().strip() or one.code.value == text.strip()
        return (0 if whole else 1 + len(words) - begun, len(meaning), meaning)

    return tuple(sorted(hits, key=rank)[:limit])


def typed(text: str, kind: str = "finding") -> Concept | None:
    """A concept as people type one, "12345 99MINE Odd thing"; None where the text is none."""
    parts = text.split(maxsplit=2)
    if len(parts) < 3 or not (parts[1] in _SCHEMES or parts[1].startswith("99")):
        return None
    return Concept(kind, Code(parts[0], parts[1], parts[2].strip()), _ABNORMAL if kind == "finding" else None)


def add(concept: Concept) -> None:
    """Keep a concept of the reader's own; one of that code that is there already is replaced.

    UserError where it is no code, or the table cannot be written.
    """
    code = concept.code
    if not code.value.strip() or not code.meaning.strip() or len(code.value) > 16 or len(code.meaning) > 64:
        raise UserError("That is no code.", "A value has up to 16 characters, a meaning up to 64 (PS3.3 8.8).")
    if code.scheme not in _SCHEMES and not code.scheme.startswith("99"):
        raise UserError(f"{code.scheme} is no scheme of codes.", "Choose SCT, DCM or UCUM, or one of your own, 99NAME.")
    file = own_table()
    kept = [one for one in (_read(file) if file.exists() else ()) if one.code.value != code.value]
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(_row(one) for one in (concept, *kept))
        part.replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}.", "Make the folder writable.") from error


@lru_cache(maxsize=1)
def _shipped() -> tuple[Concept, ...]:
    return _read(paths.resources() / "codes.csv")


def _read(file: Path) -> tuple[Concept, ...]:
    with file.open(encoding="utf-8", newline="") as source:
        return tuple(_concepts(csv.DictReader(source)))


def _concepts(rows: Iterable[dict[str, str]]) -> Iterable[Concept]:
    for row in rows:
        if row["kind"] not in ("finding", "place", "unit") or not row["value"]:
            raise ValueError("no concept")
        category = Code(row["category"], "SCT", row["category_meaning"]) if row["category"] else None
        if category is None and row["kind"] == "finding":
            category = _ABNORMAL
        yield Concept(row["kind"], Code(row["value"], row["scheme"], row["meaning"]), category)


def _row(one: Concept) -> tuple[str, ...]:
    category = ("", "") if one.category is None else (one.category.value, one.category.meaning)
    return (one.kind, one.code.value, one.code.scheme, one.code.meaning, *category)
