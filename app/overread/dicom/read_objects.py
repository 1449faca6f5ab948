"""All that others say about a stack: every object that speaks of it, read into findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom import Dataset

from overread.dicom.found import Found, opened
from overread.dicom.objects import GSPS, KO, PM, RTSTRUCT, SEG, SR
from overread.dicom.places import Places
from overread.dicom.quiet import quiet
from overread.dicom.read_gsps import read_gsps
from overread.dicom.read_ko import read_ko
from overread.dicom.read_pm import read_pm
from overread.dicom.read_rtstruct import read_rtstruct
from overread.dicom.read_seg import read_seg
from overread.dicom.read_sr import read_sr
from overread.domain.errors import Cancelled, UserError
from overread.domain.finding import Finding
from overread.domain.heatmap import Heatmap
from overread.domain.study import DerivedObject, Stack, Window

_READERS: dict[str, Callable[[Dataset, DerivedObject, Stack, Places], Found]] = {
    SEG: read_seg,
    RTSTRUCT: read_rtstruct,
    GSPS: read_gsps,
    KO: read_ko,
    PM: read_pm,
}


# Segmentations before the reports on them.
_ORDER = (SEG, RTSTRUCT, SR, GSPS, KO, PM)


def read_objects(
    stack: Stack, objects: Sequence[DerivedObject], progress: Callable[[float], None] = lambda fraction: None
) -> Found:
    """The findings of `objects`, the youngest first, on a stack. An id comes once: what is younger holds.

    What is broken or cannot be shown is named in the notices, and the others are read all the same. Runs on a worker;
    `progress` may raise Cancelled.
    """
    try:
        places = Places(stack)
    except (OSError, ValueError):
        return Found(notices=("The places of these images cannot be read any more, so nothing was put on them.",))
    gathered = _Gathered()
    ordered = sorted(objects, key=lambda each: _ORDER.index(each.source.kind))
    for number, derived in enumerate(ordered):
        progress(number / len(objects))
        try:
            with quiet():
                gathered.add(_read(derived, stack, places, gathered), derived)
        except UserError as error:
            gathered.notices.append(str(error))
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001  a file may hold anything
            gathered.notices.append(f"{derived.source.title} is damaged and cannot be shown.")
    return Found(
        tuple(gathered.findings.values()), tuple(gathered.notices), tuple(gathered.windows), maps=gathered.maps
    )


class _Gathered:
    """What was read so far. A report completes the findings of the segmentations that it speaks of, once."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}
        self.notices: list[str] = []
        self.windows: list[Window] = []
        self.segments: dict[tuple[str, int], Finding] = {}
        self.maps: dict[str, tuple[Heatmap, ...]] = {}
        self._told: set[str] = set()

    def add(self, found: Found, derived: DerivedObject) -> None:
        self.notices.extend(found.notices)
        self.windows.extend(found.windows)
        self.segments.update(found.segments)
        self.maps.update(found.maps)
        for finding in found.findings:
            if derived.source.kind != SR:
                self.findings.setdefault(finding.id, finding)
            elif finding.id not in self._told:
                self._told.add(finding.id)
                self.findings[finding.id] = finding


def _read(derived: DerivedObject, stack: Stack, places: Places, gathered: _Gathered) -> Found:
    kind, dataset = derived.source.kind, opened(derived)
    if kind == SR:
        return read_sr(dataset, derived, stack, places, gathered.segments)
    return _READERS[kind](dataset, derived, stack, places)
