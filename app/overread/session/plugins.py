"""Detectors that other people wrote. A broken plug-in is named and left out; nothing else suffers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.ports import Detector
from overread.domain.study import Stack
from overread.session.jobs import Job
from overread.session.review import proposed, source_of
from overread.session.state import Image

if TYPE_CHECKING:
    from overread.session.session import Session

# What enters a detector's proposals on a stack.
Propose = Callable[[tuple[Finding, ...], Detector, Stack], None]
GROUP = "overread.plugins"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """One installed plug-in: its detectors, or what is wrong with it."""

    name: str
    package: str
    detectors: tuple[Detector, ...] = ()
    error: str = ""


def installed() -> Iterable[EntryPoint]:
    """The entry points. The one function to replace where a frozen program cannot ask for them."""
    return entry_points(group=GROUP)


def load_plugins() -> tuple[Plugin, ...]:
    """Load every installed plug-in. Of two detectors with one id the first is taken, and the other's plug-in broken."""
    loaded: list[Plugin] = []
    for point in sorted(installed(), key=lambda point: point.name):
        plugin = _load(point)
        taken = {detector.id for other in loaded for detector in other.detectors}
        own = [detector.id for detector in plugin.detectors]
        twice = {name for name in own if name in taken or own.count(name) > 1}
        if twice:
            error = f"another detector is called {', '.join(sorted(twice))} already"
            plugin = Plugin(plugin.name, plugin.package, error=error)
        loaded.append(plugin)
    return tuple(loaded)


def _load(point: EntryPoint) -> Plugin:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    try:
        with redirect_stdout(sys.stderr):  # stdout is for the answers of commands
            detectors = tuple(point.load())
        for item in detectors:
            _check(item)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plug-in may fail with anything
        _LOG.warning("plug-in %s left out", point.name, exc_info=True)
        return Plugin(point.name, package, error=f"{type(error).__name__}: {error}")
    return Plugin(point.name, package, detectors)


def read(detector: Detector, image: Image, job: Job) -> tuple[Finding, ...]:
    """Have a plug-in look at an image, on a worker. UserError where that is nothing for it, or slices are missing."""
    volume = image.volume
    refused = detector.refuse(volume.stack)
    if not refused and not image.ready.whole:
        refused = f"{detector.title} does not read this series: {image.ready.unread}."
    if refused:
        raise UserError(refused)
    source = source_of(detector, "", f"plug-in {detector.id}")
    return proposed(detector(volume, job.progress), volume.stack, source)


def run(session: Session, detector: Detector, propose: Propose, done: Callable[[int], None]) -> Job | None:
    """Have a plug-in look at the stack on screen, once all of it is there; `done` gets the number of its proposals."""
    image = session.image
    if image is None or not image.ready.complete:
        return None
    stack = image.stack

    def arrived(findings: tuple[Finding, ...]) -> None:
        if session.image is not None and session.image.stack.uid == stack.uid:
            propose(findings, detector, stack)
            done(len(findings))

    def failed(error: BaseException) -> None:
        session.fail(blame(detector, error))
        if not isinstance(error, UserError):
            session.fail(error)

    return session.jobs.call(
        f"{detector.title} reads the series", lambda job: read(detector, image, job), arrived, failed
    )


def blame(detector: Detector, error: BaseException) -> UserError:
    """What a plug-in's failure means to the reader."""
    if isinstance(error, UserError):
        return error
    hint = "Its maker has to put that right; nothing was changed."
    return UserError(f"The plug-in {detector.title} failed: {type(error).__name__}.", hint)


def _check(item: object) -> None:
    """TypeError where something is no detector that could be called."""
    if isinstance(item, type) or not isinstance(item, Detector):
        raise TypeError(f"{getattr(item, '__name__', type(item).__name__)} is no Detector")
    for name in ("id", "title", "version"):
        if not isinstance(getattr(item, name), str):
            raise TypeError(f"the {name} of {type(item).__name__} is no text")
