"""The report on paper: whose images, who read them, with which models, what was found, and pictures of it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache, partial
from xml.sax.saxutils import escape

import cv2
import numpy as np
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, Image, KeepTogether, PageTemplate, Paragraph, Spacer
from reportlab.platypus import Table as Grid

from overread import __version__
from overread.dicom.product import Parcel
from overread.domain.finding import Finding, Kind
from overread.render.lettering import fonts, lettered, right_to_left
from overread.session.pictures import Picture

NOT_CLINICAL = "Not for clinical use. Overread is no medical device."
_INK, _QUIET, _RULE = HexColor("#15181C"), HexColor("#5B6670"), HexColor("#C9D0D6")
_MARGIN = 18 * mm
_COLUMN = (A4[0] - 2 * _MARGIN) / 2
# Pixels for each point on paper (1/72 inch): of a picture of text, and of any picture at most.
_FINE, _DOTS = 4, 4
_HEAD = ("", "Finding", "Verdict", "Volume", "Axes", "Score", "Reason")
_WIDTHS = tuple(part * mm for part in (8, 44, 40, 20, 27, 13, 22))


def report(parcel: Parcel, pictures: Sequence[Picture], when: datetime | None) -> bytes:
    """The report of a parcel as a PDF file; the same parcel, pictures and time make the same bytes.

    DejaVu is embedded, as far as its letters are used. Lines in scripts that it has not, or cannot order, are pictures.
    """
    _use_fonts()
    file = io.BytesIO()
    document = BaseDocTemplate(
        file,
        pagesize=A4,
        title="Findings accepted by a reader",
        author="Overread",
        subject=NOT_CLINICAL,
        creator=f"Overread {__version__}",
        invariant=1,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
    )
    frame = Frame(_MARGIN, 20 * mm, A4[0] - 2 * _MARGIN, A4[1] - 38 * mm, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate("page", [frame], onPage=partial(_around, parcel.stack.identity.patient_id)))
    document.build([*_identity(parcel, when), *_models(parcel), *_table(parcel), *_shown(pictures)])
    return file.getvalue()


@lru_cache(maxsize=1)
def _use_fonts() -> None:
    for name in ("DejaVuSans", "DejaVuSans-Bold"):
        pdfmetrics.registerFont(TTFont(name, str(fonts() / f"{name}.ttf")))
    pdfmetrics.registerFontFamily("DejaVuSans", normal="DejaVuSans", bold="DejaVuSans-Bold")


def _style(size: float, *, bold: bool = False, quiet: bool = False) -> ParagraphStyle:
    return ParagraphStyle(
        f"{size}{bold}{quiet}",
        fontName="DejaVuSans-Bold" if bold else "DejaVuSans",
        fontSize=size,
        leading=size * 1.35,
        textColor=_QUIET if quiet else _INK,
        splitLongWords=True,
    )


def _line(text: str, size: float = 8.5, *, bold: bool = False, quiet: bool = False, most: float = 138 * mm) -> Flowable:
    """Text as letters where the embedded font can set it, else as a picture, at `most` so many points wide."""
    known = pdfmetrics.getFont("DejaVuSans").face.charToGlyph
    if not right_to_left(text) and all(ord(letter) in known for letter in text):
        return Paragraph(escape(text), _style(size, bold=bold, quiet=quiet))
    picture = lettered(text, round(size * 1.35 * _FINE))
    scale = min(1 / _FINE, most / picture.shape[1])
    return _image(np.repeat(picture[..., None], 3, axis=2), picture.shape[1] * scale, picture.shape[0] * scale)


def _image(rgb: np.ndarray, wide: float, high: float) -> Image:
    """A picture on paper, so many points wide and high; averaged where it has far more pixels than paper shows."""
    fewer = _DOTS * wide / rgb.shape[1]
    if fewer < 1:
        size = round(rgb.shape[1] * fewer), max(1, round(rgb.shape[0] * fewer))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    _, data = cv2.imencode(".png", rgb[..., ::-1])
    placed = Image(io.BytesIO(data.tobytes()), wide, high)
    placed.hAlign = "LEFT"
    return placed


def _around(patient_id: str, canvas: Canvas, document: BaseDocTemplate) -> None:
    """What stands on every page: whose it is, that it is not for clinical use, and the page's number."""
    canvas.saveState()
    canvas.setFillColor(_QUIET)
    canvas.setFont("DejaVuSans", 7.5)
    canvas.drawString(_MARGIN, 11 * mm, NOT_CLINICAL)
    canvas.drawRightString(A4[0] - _MARGIN, 11 * mm, f"Patient ID {patient_id or '–'} · page {document.page}")
    canvas.restoreState()


def _pairs(rows: Sequence[tuple[str, str]]) -> Grid:
    cells = [[_line(name, quiet=True), _line(value or "–")] for name, value in rows]
    return Grid(cells, [34 * mm, A4[0] - 2 * _MARGIN - 34 * mm], style=[*_plain(), ("VALIGN", (0, 0), (-1, -1), "TOP")])


def _plain() -> list[tuple[object, ...]]:
    sides = ("LEFTPADDING", "RIGHTPADDING", "TOPPADDING", "BOTTOMPADDING")
    return [(side, (0, 0), (-1, -1), 1.5) for side in sides]


def _identity(parcel: Parcel, when: datetime | None) -> Iterator[Flowable]:
    who, first = parcel.stack.identity, parcel.headers.first
    yield _line("Findings accepted by a reader", 15, bold=True)
    yield Spacer(0, 2 * mm)
    yield _line(NOT_CLINICAL, 9, bold=True)
    yield Spacer(0, 4 * mm)
    # All spellings of a name, as the study has them: alphabetic, ideographic, phonetic (PS3.5 6.2.1.2).
    groups = [" ".join(part for part in group.split("^") if part) for group in who.patient_name.split("=")]
    names = [("Patient" if at == 0 else "", name) for at, name in enumerate(groups) if name or at == 0]
    signed = f"Signed by {parcel.signed_by.name}." if parcel.signed_by else "Unsigned: accepting is not signing."
    number = "" if who.series_number is None else f"{who.series_number}: "
    yield _pairs(
        [
            *names,
            ("Patient ID", who.patient_id),
            ("Birth date, sex", ", ".join(part for part in (_day(who.birth_date), who.sex) if part)),
            ("Study", ", ".join(part for part in (_day(who.study_date), who.study_description) if part)),
            ("Accession number", str(first.get("AccessionNumber", "") or "")),
            ("Series", f"{number}{who.series_description or who.modality}, {_count(parcel)}"),
            ("Study UID", who.study_uid),
            ("Series UID", who.series_uid),
            ("Reader", parcel.reader.name),
            ("Written", f"{f'{when:%Y-%m-%d %H:%M:%S}, ' if when else ''}Overread {__version__}. {signed}"),
            ("Undecided", f"{parcel.undecided} of this series wait for a verdict" if parcel.undecided else "none"),
        ]
    )
    for problem in parcel.stack.problems:
        yield _line(problem.text, quiet=True)


def _count(parcel: Parcel) -> str:
    many = len(parcel.stack.frames)
    return "1 image" if many == 1 else f"{many} images"


def _day(date: str) -> str:
    """20260102 → 2026-01-02; anything else as it is."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def _models(parcel: Parcel) -> Iterator[Flowable]:
    models = dict.fromkeys(finding.model for finding in _all(parcel) if finding.model is not None)
    yield from _heading("Models")
    if not models:
        yield _line("No model took part.")
        return
    for model in models:
        date = "" if parcel.nameless else f", {model.when:%Y-%m-%d %H:%M}"
        weights = f", weights {model.sha256[:16]}" if model.sha256 else ""
        yield _line(f"{model.name} ({model.id} {model.version}){weights}; {model.backend}{date}")


def _all(parcel: Parcel) -> tuple[Finding, ...]:
    return (*parcel.findings, *parcel.rejected)


def _heading(text: str) -> Iterator[Flowable]:
    yield Spacer(0, 5 * mm)
    yield _line(text, 11, bold=True)
    yield Spacer(0, 1.5 * mm)


def _table(parcel: Parcel) -> Iterator[Flowable]:
    yield from _heading("Findings")
    cells: list[list[Flowable | str]] = [[_line(name, 7.5, quiet=True) for name in _HEAD]]
    cells += [
        [_line(text, 7.5, most=wide - 4) for text, wide in zip(row_of(finding), _WIDTHS, strict=True)]
        for finding in _all(parcel)
    ]
    style = [
        *_plain(),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        *(("BACKGROUND", (0, at), (0, at), HexColor(finding.colour)) for at, finding in enumerate(_all(parcel), 1)),
    ]
    yield Grid(cells, _WIDTHS, style=style, repeatRows=1)


def row_of(finding: Finding) -> tuple[str, ...]:
    """A finding's line in the table; the first cell has its colour."""
    who = f" by {finding.reader.name}" if finding.reader else ""
    of, name = finding.measures, finding.title
    if finding.positive is not None:
        name = f"{name}: {'present' if finding.positive else 'absent'}"
    volume = "" if of is None or finding.boxed else f"{of.volume_ml:.3f} ml"
    axes = "" if of is None or finding.boxed else f"{of.long_axis_mm:.1f} × {of.short_axis_mm:.1f} mm"
    if finding.measurement is not None:
        values = finding.measurement.values
        axes = ", ".join(f"{value.name.meaning} {value.number:g} {value.unit.meaning}" for value in values)
    score = "" if finding.score is None else f"{finding.score:.2f}"
    if finding.kind is Kind.DETECTION and finding.boxed:
        name += " (box)"
    return "", name, f"{finding.status.value}{who}", volume, axes, score, finding.reason


def _shown(pictures: Sequence[Picture]) -> Iterator[Flowable]:
    """The pictures, two in a row."""
    cells = [_cell(picture) for picture in pictures]
    for at in range(0, len(cells), 2):
        row = [*cells[at : at + 2], ""][:2]
        head = list(_heading("Pictures")) if at == 0 else []
        grid = Grid([row], [_COLUMN, _COLUMN], style=[*_plain(), ("VALIGN", (0, 0), (-1, -1), "TOP")])
        yield KeepTogether([*head, grid, Spacer(0, 3 * mm)])


def _cell(picture: Picture) -> list[Flowable]:
    rows, columns = picture.pixels.shape[:2]
    high = rows * picture.aspect
    scale = min((_COLUMN - 3 * mm) / columns, 105 * mm / high)
    title = f"{picture.finding.title}, slice {picture.index + 1}"
    return [
        _line(title, 9, bold=True, most=_COLUMN - 3 * mm),
        Spacer(0, 1 * mm),
        _image(picture.pixels, columns * scale, high * scale),
    ]
