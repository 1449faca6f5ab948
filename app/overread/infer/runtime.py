"""What there is to run models with, before any model is asked."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from overread.domain.errors import UserError

RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
PACKAGES = (*RUNTIMES, "openvino")


def installed() -> dict[str, str]:
    """The inference engines that are installed, with their versions."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def trouble() -> UserError | None:
    """What is wrong with the installed engines: both ONNX Runtimes leave only CPU providers, no engine nothing."""
    found = installed()
    both = all(name in found for name in RUNTIMES)
    if found and not both:
        return None
    if not found:
        return UserError("No inference engine is installed.", "Install exactly one: overread[cpu] or overread[gpu].")
    return UserError(
        "onnxruntime and onnxruntime-gpu are both installed, which hides the GPU.",
        "Uninstall both, then install overread[gpu] alone.",
    )


def gpus() -> list[str]:
    """The NVIDIA GPUs that a driver answers for, with their driver's version."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
