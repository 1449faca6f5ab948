"""What and who reads: models and plug-ins, and the reader in whose name it is done."""

from __future__ import annotations

import sys

from overread import paths
from overread.domain.errors import UserError
from overread.domain.finding import Reader
from overread.domain.ports import Detector
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain, chain_of
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import find_models
from overread.session import settings
from overread.session.plugins import load_plugins
from overread.session.settings import Settings

# Who reads where nobody said a name.
NOBODY = Reader("Unnamed reader")


def _mention(error: UserError) -> None:
    sys.stderr.write(f"{error}\n")


def models() -> list[OnnxDetector]:
    """The models that can be used; what is wrong with the others goes to stderr."""
    found, broken = find_models(paths.model_folders())
    for error in broken:
        _mention(error)
    served_by = chain()
    return [OnnxDetector(spec, served_by) for spec in found]


def chain() -> Chain | FarChain:
    """What serves models here: this machine, or the server that the settings name."""
    return chain_of(liked().remote, paths.cache())


def detectors() -> list[Detector]:
    """Models and plug-ins, each id once: a plug-in cannot take a model's place."""
    found: dict[str, Detector] = {detector.id: detector for detector in models()}
    for plugin in load_plugins():
        taken = [detector.id for detector in plugin.detectors if detector.id in found]
        error = plugin.error or (f"a model is called {', '.join(taken)} already" if taken else "")
        if error:
            sys.stderr.write(f"The plug-in {plugin.name} was left out: {error}\n")
        else:
            found.update((detector.id, detector) for detector in plugin.detectors)
    return list(found.values())


def liked() -> Settings:
    """The settings; what is wrong with them goes to stderr."""
    return settings.load(paths.config() / "settings.toml", _mention)


def reader(name: str) -> Reader:
    """The reader of that name; without a name, the one in the settings."""
    if not name.strip():
        name = liked().reader
    return Reader(name.strip()) if name.strip() else NOBODY
