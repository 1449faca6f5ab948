"""What a measured figure was measured on."""

from __future__ import annotations

import os
import platform
from typing import Any

from overread import __version__
from overread.infer.runtime import gpus, installed


def described() -> dict[str, Any]:
    """Program, system, processor, cores, GPUs, engines, Python."""
    return {
        "overread": __version__,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpus": gpus(),
        "engines": installed(),
        "python": platform.python_version(),
    }
