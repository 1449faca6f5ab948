"""What an action is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overread.ui.main_window import MainWindow

Do = Callable[["MainWindow"], object]
Test = Callable[["MainWindow"], bool]


def image_open(window: MainWindow) -> bool:
    """Whether there is an image to act on."""
    return window.session.image is not None


@dataclass(frozen=True)
class Action:
    """One thing the reader can do. `keys` are Qt key sequences; `checked` says whether it is on, where that is so."""

    id: str
    group: str
    text: str
    keys: tuple[str, ...]
    do: Do
    when: Test = image_open
    icon: str = ""
    checked: Test | None = None
