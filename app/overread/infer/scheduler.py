"""Which slice is read next. The reader decides by looking."""

from __future__ import annotations

import threading

from overread.domain.ports import Cancel

# So many slices beyond the one on screen are read ahead in the direction of scrolling, and so many behind.
AHEAD = 12
BEHIND = 3


class SliceQueue:
    """The slices still to be read, shared by the thread that looks and the thread that reads.

    The slice on screen comes first, then its neighbours in the direction of scrolling, then the rest, nearest first.
    Without the rest, slices far from the screen are dropped, and one that is running is called off.
    """

    def __init__(self, count: int, done: frozenset[int] = frozenset()) -> None:
        self._lock = threading.Lock()
        self._outstanding = set(range(count)) - done
        self._focus, self._direction, self._rest = 0, 1, True
        self._running: tuple[int, Cancel] | None = None
        self._closed = False

    def look_at(self, index: int, direction: int) -> bool:
        """The reader sees slice `index` and came from the other side of `direction`.

        Returns whether there is something to read now.
        """
        with self._lock:
            self._focus, self._direction = index, 1 if direction >= 0 else -1
            stale = self._stale()
            wanted = self._next() is not None
        if stale is not None:
            stale.cancel()
        return wanted

    def read_rest(self, wanted: bool) -> None:
        """Whether slices far from the screen are read too."""
        with self._lock:
            self._rest = wanted
            stale = self._stale()
        if stale is not None:
            stale.cancel()

    def close(self) -> None:
        """Nobody waits for anything any more."""
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            running[1].cancel()

    def take(self) -> tuple[int, Cancel] | None:
        """The slice to read now, with what calls it off; None where nobody waits for any."""
        with self._lock:
            index = self._next()
            if index is None:
                return None
            self._outstanding.discard(index)
            self._running = (index, Cancel())
            return self._running

    def finish(self, index: int, *, done: bool) -> None:
        """The slice was read, or has to be read again."""
        with self._lock:
            self._running = None
            if not done:
                self._outstanding.add(index)

    @property
    def wanted(self) -> bool:
        """Whether there is something to read now."""
        with self._lock:
            return self._next() is not None

    @property
    def pressing(self) -> bool:
        """Whether the slice on screen or one of its neighbours is still to be read."""
        with self._lock:
            index = min(self._outstanding, key=self._distance, default=None)
            near = [at for at in (index, self._running[0] if self._running else None) if at is not None]
            return not self._closed and any(self._distance(at)[0] < 3 for at in near)

    def _distance(self, index: int) -> tuple[int, int]:
        """The rank of a slice: (class, steps from the screen)."""
        ahead = (index - self._focus) * self._direction
        if ahead == 0:
            return 0, 0
        if 0 < ahead <= AHEAD:
            return 1, ahead
        return (2, -ahead) if -BEHIND <= ahead < 0 else (3, abs(ahead))

    def _next(self) -> int | None:
        if self._closed or not self._outstanding:
            return None
        index = min(self._outstanding, key=self._distance)
        return index if self._rest or self._distance(index)[0] < 3 else None

    def _stale(self) -> Cancel | None:
        if self._running is None or self._rest or self._distance(self._running[0])[0] < 3:
            return None
        return self._running[1]
