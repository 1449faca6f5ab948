"""Which MR contrast a series is: T1, T1C, T2, FLAIR … from what its header says."""

from __future__ import annotations

import re
from typing import Any, Protocol


class HasValues(Protocol):
    """A header to ask for attributes by keyword."""

    def get(self, keyword: Any, /) -> Any:
        """The value, None where it is missing."""


# Separators become spaces first, so that words can be matched as words.
_WORDS = re.compile(r"[^a-z0-9+*]+")
_CONTRAST = re.compile(r"\b(post|gad|gado\w*|gd|ce|contrast|km|mprage gd|c\+|\+c|dotarem|gadavist|magnevist)(?=\s|$)")
_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ADC", re.compile(r"\b(adc|apparent)\b")),
    ("DWI", re.compile(r"\b(dwi|diff\w*|trace|dti|ep2d)\b")),
    ("SWI", re.compile(r"\b(swi|swan|venobold|t2\*|hemo)")),
    ("PERFUSION", re.compile(r"\b(perf\w*|dsc|dce|asl|pwi)\b")),
    ("LOCALIZER", re.compile(r"\b(loc|localizer|localiser|scout|survey|3 plane|three plane|aahead\w*)\b")),
    ("MRA", re.compile(r"\b(mra|tof|angio\w*)\b")),
)
_FLAIR = re.compile(r"flair|dark fluid|darkfluid|\btirm\b|\btir2d\w*|\bspcir\w*")
_T1 = re.compile(r"\bt1\w*|mprage|\bmp rage\b|\bspgr\b|bravo|\btfl3d\w*|\bfspgr\b")
_T2 = re.compile(r"\bt2\w*")
_PD = re.compile(r"\b(pd|pdw|proton density)\b")


def _number(header: HasValues, keyword: str) -> float | None:
    value = header.get(keyword)
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None


def role(header: HasValues) -> str:
    """The sequence role of an MR header, "" where it cannot be told.

    What people wrote (description, protocol, sequence name) counts first; where they wrote nothing that helps, echo,
    repetition and inversion time decide. A "T1 FLAIR" is a T1: its inversion time is too short to null fluid.
    """
    if header.get("Modality") != "MR":
        return ""
    texts = (header.get(k) for k in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName"))
    words = _WORDS.sub(" ", " ".join(str(text) for text in texts if text).lower())
    for name, pattern in _NAMED:
        if pattern.search(words):
            return name
    echo, repetition, inversion = (_number(header, k) for k in ("EchoTime", "RepetitionTime", "InversionTime"))
    contrast = bool(_CONTRAST.search(words)) or bool(str(header.get("ContrastBolusAgent") or "").strip())
    if _FLAIR.search(words):
        short = (inversion is not None and inversion < 1400) or (echo is not None and echo < 40)
        if not (_T1.search(words) and (short or inversion is None)):
            return "FLAIR"
    if _T1.search(words):
        return "T1C" if contrast else "T1"
    if _T2.search(words):
        return "T2"
    if _PD.search(words):
        return "PD"
    return _by_physics(echo, repetition, inversion, contrast)


def _by_physics(echo: float | None, repetition: float | None, inversion: float | None, contrast: bool) -> str:
    if echo is None or repetition is None:
        return ""
    if inversion is not None and inversion >= 1500 and echo >= 60:
        return "FLAIR"
    if echo >= 60 and repetition >= 2000:
        return "T2" if inversion is None else ""
    if echo <= 30 and repetition <= 1000:
        return "T1C" if contrast else "T1"
    return ""
