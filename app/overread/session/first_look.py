"""A heatmap directs the eye: it is not shown before the reader has seen the image without it."""

from __future__ import annotations

from collections.abc import Callable


class FirstLook:
    """Which stacks the reader has seen on the screen in this sitting. `changed` is called with the first look."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._seen: set[str] = set()

    def over(self, stack_uid: str) -> bool:
        """Whether the reader has seen the plain image."""
        return stack_uid in self._seen

    def looked(self, stack_uid: str) -> None:
        """The image stands on the screen."""
        if stack_uid not in self._seen:
            self._seen.add(stack_uid)
            self._changed()
