"""Values of a `model.toml`, each read as what it has to be. What is wrong is a ValueError in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from overread.domain.finding import Code


def text(table: Mapping[str, Any], key: str) -> str:
    """A text that says something."""
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"“{key}” is no text")
    return value


def one_of(table: Mapping[str, Any], key: str, known: Sequence[str], default: str | None = None) -> str:
    """One of the words that are known."""
    value = table[key] if default is None else table.get(key, default)
    if value not in known:
        raise ValueError(f"“{key}” is not {', '.join(known[:-1])} or {known[-1]}")
    return str(value)


def number(value: Any, what: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"“{what}” is no number")
    return float(value)


def flag(table: Mapping[str, Any], key: str) -> bool:
    """True or false; false where nothing is said."""
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"“{key}” is not true or false")
    return value


def fraction(value: Any, what: str) -> float:
    """A number above 0 and at most 1."""
    read = number(value, what)
    if not 0 < read <= 1:
        raise ValueError(f"“{what}” is not above 0 and at most 1")
    return read


def numbers(values: Any, what: str) -> tuple[float, float]:
    """Two numbers."""
    if not isinstance(values, (list, tuple)) or len(values) != 2:
        raise ValueError(f"“{what}” is not two numbers")
    return number(values[0], what), number(values[1], what)


def sizes(values: Any, what: str) -> tuple[float, float]:
    """Two numbers above 0."""
    read = numbers(values, what)
    if min(read) <= 0:
        raise ValueError(f"“{what}” is not above 0")
    return read


def three(values: Any, what: str) -> tuple[float, float, float]:
    """Three numbers above 0."""
    if not isinstance(values, (list, tuple)) or len(values) != 3:
        raise ValueError(f"“{what}” is not three numbers")
    first, second, third = (number(value, what) for value in values)
    if min(first, second, third) <= 0:
        raise ValueError(f"“{what}” is not above 0")
    return first, second, third


def pixels(values: Any, what: str) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = sizes(values, what)
    return int(rows), int(columns)


def interval(values: Any, what: str) -> tuple[float, float]:
    """Two numbers, the first below the second."""
    low, high = numbers(values, what)
    if low >= high:
        raise ValueError(f"“{what}” does not run from low to high")
    return low, high


def names(values: Any, what: str) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"“{what}” is no list of names")
    return tuple(values)


def code(table: Mapping[str, Any], key: str) -> Code:
    """A coded concept, written 52988006|SCT|Lesion in a manifest."""
    parts = [part.strip() for part in text(table, key).split("|")]
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"“{key}” is no code: write value|scheme|meaning")
    return Code(*parts)


def colour(table: Mapping[str, Any], key: str) -> str:
    """A colour as in HTML."""
    value = text(table, key)
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
        raise ValueError(f"“{key}” is not like #F5B83D")
    return value
