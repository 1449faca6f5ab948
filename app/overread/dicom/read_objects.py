"""All that others say about a stack: every object that speaks of it, read into findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom import Dataset

from overread.dicom.found import Found, opened
from overread.dicom.objects import SEG
from overread.dicom.places import Places
from overread.dicom.quiet import quiet
from overread.dicom.read_seg import read_seg
from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.study import DerivedObject, Stack

_READERS: dict[str, Callable[[Dataset, DerivedObject, Stack, Places], Found]] = {SEG: read_seg}


def read_objects(
    stack: Stack, objects: Sequence[DerivedObject], progress: Callable[[float], None] = lambda fraction: None
) -> Found:
    """The findings of `objects`, the youngest first, on a stack. An id comes once: what is younger holds.

    What is broken or cannot be shown is named in the notices, and the others are read all the same. Runs on a worker;
    `progress` may raise Cancelled.
    """
    findings: dict[str, Finding] = {}
    notices: list[str] = []
    try:
        places = Places(stack)
    except (OSError, ValueError):
        return Found(notices=("The places of these images cannot be read any more, so nothing was put on them.",))
    for number, derived in enumerate(objects):
        progress(number / len(objects))
        reader = _READERS.get(derived.source.kind)
        if reader is None:
            notices.append(f"{derived.source.title} cannot be shown yet.")
            continue
        try:
            with quiet():
                found = reader(opened(derived), derived, stack, places)
        except UserError as error:
            notices.append(str(error))
        except Exception:  # noqa: BLE001  a file may hold anything
            notices.append(f"{derived.source.title} is damaged and cannot be shown.")
        else:
            notices.extend(found.notices)
            for finding in found.findings:
                findings.setdefault(finding.id, finding)
    return Found(tuple(findings.values()), tuple(notices))
