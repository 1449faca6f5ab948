"""Where things lie: what came with the program, and what belongs to this reader on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parents[1]


def _shipped(packed: str, name: str) -> Path:
    """A folder inside the installed package, or the repository's own while developing."""
    inside = _PACKAGE / packed
    return inside if inside.is_dir() else _REPOSITORY / name


def resources() -> Path:
    """Icons, presets, hanging protocols."""
    return _shipped("_resources", "resources")


def model_folders() -> tuple[Path, ...]:
    """Where models are looked for: the reader's own first, then those that came with the program."""
    return data() / "models", _shipped("_models", "models")


def _own(kind: str, default: str) -> Path:
    home = os.environ.get("OVERREAD_HOME")
    return Path(home) / kind if home else Path(default)


def config() -> Path:
    """Settings."""
    return _own("config", platformdirs.user_config_dir("overread", appauthor=False))


def data() -> Path:
    """Journals, the demo study, models that the reader added."""
    return _own("data", platformdirs.user_data_dir("overread", appauthor=False))


def logs() -> Path:
    """What went wrong. Never a patient's name or number."""
    return _own("logs", platformdirs.user_log_dir("overread", appauthor=False))


def cache() -> Path:
    """What can be made again: verdicts on what runs models here, compiled networks."""
    return _own("cache", platformdirs.user_cache_dir("overread", appauthor=False))
