"""A sitting without a window and without threads: work runs when the test says so, results arrive when it says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from overread.domain.finding import Code, Finding, Mask, ModelSource, Reader
from overread.domain.geometry import Index
from overread.domain.ports import Detector
from overread.domain.study import Stack
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import find_models
from overread.session.session import Session
from support import values

LESION = Code("52988006", "SCT", "Lesion")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
DOE = Reader("Doe")


class Later(Executor):
    """Work waits here until the test has it run, on the test's own thread."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()
        self.down = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert not self.down, "work after the end"
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.down = True
        self.waiting.clear()


class Sitting:
    """A session with its ears: what failed is kept, what was told too."""

    def __init__(self, detectors: Sequence[OnnxDetector] = (), plugins: Sequence[Detector] = ()) -> None:
        self.work = Later()
        self.mail: deque[Callable[[], None]] = deque()
        self.errors: list[Exception] = []
        self.session = Session(self.mail.append, self.work, detectors, plugins)
        self.session.failed.connect(self.errors.append)
        self.session.start()

    def run(self) -> bool:
        """A worker does the piece of work that has waited longest; its results are on their way then."""
        if not self.work.waiting:
            return False
        self.work.waiting.popleft()()
        return True

    def deliver(self) -> bool:
        """The oldest result arrives."""
        if not self.mail:
            return False
        self.mail.popleft()()
        return True

    def settle(self) -> None:
        """Everything runs and arrives."""
        while self.run() or self.deliver():
            pass

    def open(self, *opened: Path) -> None:
        """Open, and wait until all is quiet."""
        self.session.open(opened)
        self.settle()

    def die(self) -> None:
        """End as a killed process does: nothing is closed, but what the system held for it is free."""
        for book in self.session._books._books.values():
            book.lease.release()

    def close(self) -> None:
        self.session.close()


@cache
def detectors(folder: Path) -> tuple[OnnxDetector, ...]:
    """The models of a folder, self-tested once a run."""
    specs, broken = find_models((folder,))
    assert not broken
    chain = Chain((REFERENCE,))
    return tuple(OnnxDetector(spec, chain) for spec in specs)


def stack_of(shape: Index = (6, 24, 24), *, series: str = "1.2.3.4") -> Stack:
    """A stack of a named person that is on no disk, 3 mm from slice to slice."""
    made = values.stack(values.box_grid(shape, (3, 1, 1)))
    who = replace(made.identity, patient_name="NAME^ID1", birth_date="19700101", study_uid="1.2.3", series_uid=series)
    return replace(made, uid=f"stack-{series}", identity=who)


def box_mask(shape: Index, start: Index, size: Index) -> Mask:
    """A block of voxels."""
    return Mask.of(np.ones(size, np.bool_), start, shape)


def model_source(model_id: str = "bright") -> ModelSource:
    return replace(values.MODEL, id=model_id, name=model_id.capitalize())


def finding_of(stack: Stack, mask: Mask, *, number: int = 1, model: str = "bright", **facts: Any) -> Finding:
    """A proposal of a model on a stack."""
    where = {"stack_uid": stack.uid, "series_uid": stack.identity.series_uid}
    own = {"id": f"2.25.{number}", "number": number, "label": "Bright", **where, **facts}
    return values.finding(mask, model_source(model), **own)
