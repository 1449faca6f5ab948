"""The other series of a study that a model reads beside the one on screen: loaded and registered once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from overread.dicom.codecs import Undecodable
from overread.dicom.load import loaded
from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.imaging.registration import Registration
from overread.imaging.resample import require_wanted
from overread.infer.channels import Channel, values_of

# Voxels of other series that are kept in memory; what was registered is kept whatever its voxels take.
BUDGET = 2**30
_LOOK_S = 0.02


class Companions:
    """Loads and registers what models read together. Shared by the workers; one of them is served at a time."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._working = threading.Lock()
        self._found: dict[tuple[str, str], Registration] = {}
        self._volumes: OrderedDict[str, Volume] = OrderedDict()

    def channel(self, volume: Volume, stack: Stack, cancel: Cancel) -> Channel:
        """Another series, and how it lies to `volume`.

        UserError where it cannot be read or laid on the volume; Cancelled where the work was called off.
        """
        with self._turn(cancel):
            other = self._loaded(stack)
            return Channel(other, self._registered(volume, other, cancel))

    @contextmanager
    def _turn(self, cancel: Cancel) -> Iterator[None]:
        while not self._working.acquire(timeout=_LOOK_S):
            require_wanted(cancel)
        try:
            yield
        finally:
            self._working.release()

    def _loaded(self, stack: Stack) -> Volume:
        volume = self._volumes.pop(stack.uid, None)
        if volume is None:
            try:
                volume = loaded(stack)
            except Undecodable as error:
                hint = "Copy the files again from where they came."
                raise UserError(f"The {stack.role} series cannot be read: {error}.", hint) from error
        self._volumes[stack.uid] = volume
        while len(self._volumes) > 1 and sum(v.voxels.nbytes for v in self._volumes.values()) > self._budget:
            self._volumes.popitem(last=False)
        return volume

    def _registered(self, volume: Volume, other: Volume, cancel: Cancel) -> Registration:
        pair = volume.uid, other.uid
        if pair not in self._found:
            from overread.imaging.register import register  # a slow import, wanted with the first such model

            one, two = values_of(volume, cancel), values_of(other, cancel)
            self._found[pair] = register(one, volume.grid, two, other.grid, cancel)
        found = self._found[pair]
        if not found.trusted:
            raise UserError(
                f"The {other.stack.role} series could not be laid on the {volume.stack.role} series.",
                "Look whether both show the same part of the body.",
            )
        return found
