"""What is installed to read with: models and plug-ins."""

from __future__ import annotations

import sys

from overread import paths
from overread.domain.ports import Detector
from overread.infer.backends import Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import find_models
from overread.session.plugins import load_plugins


def models() -> list[OnnxDetector]:
    """The models that can be used; what is wrong with the others goes to stderr."""
    found, broken = find_models(paths.model_folders())
    for error in broken:
        sys.stderr.write(f"{error}\n")
    chain = Chain()
    return [OnnxDetector(spec, chain) for spec in found]


def detectors() -> list[Detector]:
    """Models and plug-ins."""
    found: list[Detector] = [*models()]
    for plugin in load_plugins():
        if plugin.error:
            sys.stderr.write(f"The plug-in {plugin.name} was left out: {plugin.error}\n")
        found.extend(plugin.detectors)
    return found
