"""Sittings that are closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.models import bright_model
from support.sitting import Sitting


@pytest.fixture
def sit() -> Iterator[Callable[..., Sitting]]:
    """Begin a sitting."""
    made: list[Sitting] = []

    def begin(*args: Any, **kwargs: Any) -> Sitting:
        made.append(Sitting(*args, **kwargs))
        return made[-1]

    yield begin
    for sitting in made:
        sitting.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one made-up model, which is on by default."""
    folder = tmp_path_factory.mktemp("models")
    bright_model(folder, model_id="glioma-flair")
    return folder
