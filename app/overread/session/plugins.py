"""Detectors that other people wrote. A broken plug-in is named and left out; nothing else suffers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from overread.domain.ports import Detector

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
    """Load every installed plug-in."""
    return tuple(_load(point) for point in sorted(installed(), key=lambda point: point.name))


def _load(point: EntryPoint) -> Plugin:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    try:
        detectors = tuple(point.load())
        wrong = [type(item).__name__ for item in detectors if not isinstance(item, Detector)]
        if wrong:
            raise TypeError(f"{', '.join(wrong)} is no Detector")
    except Exception as error:  # noqa: BLE001  a plug-in may fail with anything
        _LOG.warning("plug-in %s left out", point.name, exc_info=True)
        return Plugin(point.name, package, error=f"{type(error).__name__}: {error}")
    return Plugin(point.name, package, detectors)
