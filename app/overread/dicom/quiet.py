"""Keeps the libraries below from talking: they quote the values that they complain about, patients' names included."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config

logging.getLogger("pydicom").setLevel(logging.CRITICAL)
# What a header may hold is judged where it is used.
config.settings.reading_validation_mode = config.IGNORE


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings while files are read or written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
