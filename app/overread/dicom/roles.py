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
_AGENT = r"(gad\w*|gd|ce|contrast|km|dotarem|magnevist)"
_CONTRAST = re.compile(rf"\b(post|{_AGENT})\b|\bt1w?(c|ce|gd|gad|km|post)\b|\bc\+|\+ ?c\b")
_PLAIN = re.compile(rf"\b(pre|nativ\w*|plain|unenhanced|noncontrast|(no|non|without|w o|wo|ohne) {_AGENT})\b")
_BOTH = re.compile(r"\bw(ith)? (and |or )?(wo|w o|without)( and with)?\b( contrast)?")
_NO_AGENT = frozenset({"", "none", "no", "n", "-", "0"})
_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ADC", re.compile(r"\b(adc|apparent)\b")),
    ("PERFUSION", re.compile(r"\b(perf\w*|dsc|dce|asl|pwi)\b")),
    ("DWI", re.compile(r"\b(dwi|diff\w*|trace|dti|ep2d)\b")),
    ("SWI", re.compile(r"\b(swi|swan|venobold|t2\*|hemo)")),
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

    What people wrote counts first: the description, then what protocol and sequence are called (a protocol is often
    named for the whole examination). Where that does not help, echo, repetition and inversion time decide.
    """
    if header.get("Modality") != "MR":
        return ""
    keywords = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    texts = [_WORDS.sub(" ", str(header.get(keyword) or "").lower()).strip() for keyword in keywords]
    words = " ".join(text for text in texts if text)
    echo, repetition, inversion = (_number(header, k) for k in ("EchoTime", "RepetitionTime", "InversionTime"))
    inversion = inversion or None  # 0 where nothing was inverted
    contrast = _contrast(texts[0] or words, str(header.get("ContrastBolusAgent") or ""))
    return (
        _by_words(texts[0], echo, inversion, contrast)
        or _by_words(words, echo, inversion, contrast)
        or _by_physics(echo, repetition, inversion, contrast)
    )


def _by_words(words: str, echo: float | None, inversion: float | None, contrast: bool) -> str:
    """A "T1 FLAIR" is a T1: its inversion time is too short to null fluid."""
    for name, pattern in _NAMED:
        if pattern.search(words):
            return name
    if _FLAIR.search(words):
        unknown = inversion is None and echo is None
        short = (inversion is not None and inversion < 1400) or (echo is not None and echo < 40)
        if not (_T1.search(words) and (short or unknown)):
            return "FLAIR"
    if _T1.search(words):
        return "T1C" if contrast else "T1"
    if _T2.search(words):
        return "T2"
    return "PD" if _PD.search(words) else ""


def _contrast(words: str, agent: str) -> bool:
    """Whether an image was taken after a contrast agent: a name that says so or not outweighs the agent."""
    words = _BOTH.sub(" ", words)
    if _PLAIN.search(words):
        return False
    return bool(_CONTRAST.search(words)) or agent.strip().lower() not in _NO_AGENT


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
