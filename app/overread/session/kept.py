"""What models said about slices, kept for when the reader comes back to a series."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from overread.infer.results import SliceResult

# A volume, a model, and the SHA-256 of each of its networks, then the other series that it reads.
Key = tuple[str, str, tuple[str, ...]]


@dataclass(eq=False)
class Shelf:
    """The results of one model on one volume, by slice."""

    results: dict[int, SliceResult] = field(default_factory=dict)
    nbytes: int = 0


class Kept:
    """Shelves within a budget in bytes: beyond it the one that nobody has asked for longest is forgotten.

    Whoever works with a shelf has it still. Belongs to the main thread.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._shelves: OrderedDict[Key, Shelf] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """What all of it takes of the memory."""
        return sum(shelf.nbytes for shelf in self._shelves.values())

    def shelf(self, key: Key) -> Shelf:
        """The results of a model on a volume, none where there are none or not any more."""
        shelf = self._shelves.setdefault(key, Shelf())
        self._shelves.move_to_end(key)
        return shelf

    def put(self, shelf: Shelf, result: SliceResult) -> None:
        """Put one more on a shelf, or another in its place."""
        before = shelf.results.get(result.index)
        shelf.nbytes += result.nbytes - (before.nbytes if before is not None else 0)
        shelf.results[result.index] = result
        while len(self._shelves) > 1 and self.nbytes > self._budget:
            self._shelves.popitem(last=False)
