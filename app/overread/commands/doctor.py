"""`overread doctor`: what serves here, and why not more."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from overread import __version__, paths
from overread.commands.answers import emit, say
from overread.commands.engine import chain, liked, models
from overread.commands.links import link_answer, link_line, tried
from overread.domain.errors import UserError
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain
from overread.infer.backends.judge import fastest
from overread.infer.backends.kserve import Server, Unanswered
from overread.infer.backends.onnx import OnnxRuntime
from overread.infer.backends.openvino import OpenVino
from overread.infer.backends.remote import Remote
from overread.infer.detector import OnnxDetector
from overread.infer.runtime import gpus, installed, trouble
from overread.session.plugins import load_plugins


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and say what was found. Status 3 where some model cannot run at all."""
    answer = examine()
    if arguments.json:
        emit(answer)
    else:
        _print(answer)
    return 0 if all(model["serves"] for model in answer["models"]) and answer["models"] else 3


def examine() -> dict[str, Any]:
    """Everything that decides what serves."""
    wrong, served_by = trouble(), chain()
    return {
        "overread": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "gpus": gpus(),
        "engines": installed(),
        "engine_trouble": str(wrong) if wrong else "",
        "providers": [*sorted(OnnxRuntime().built_in), *(f"OpenVINO {name}" for name in OpenVino().available)],
        "display": _display(),
        "libraries": {name: _version(name) for name in ("PySide6_Essentials", "pydicom", "highdicom", "SimpleITK")},
        "folders": {
            "settings": {"path": str(paths.config()), "writable": _writable(paths.config())},
            "journals": {"path": str(paths.data()), "writable": _writable(paths.data())},
            "cache": {"path": str(paths.cache()), "writable": _writable(paths.cache())},
        },
        "plugins": [
            {"name": p.name, "package": p.package, "detectors": [d.id for d in p.detectors], "error": p.error}
            for p in load_plugins()
        ],
        "remote": _remote(liked().remote),
        "models": [_model(detector, served_by) for detector in models()],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _remote(remote: Remote) -> dict[str, Any]:
    """The server that the settings name, whether it is asked or not."""
    server, why = "", ""
    if remote.url:
        try:
            server = Server(remote).about()
        except (UserError, Unanswered) as error:
            why = str(error)
    return {
        "url": remote.url,
        "policy": remote.policy,
        "deadline_ms": remote.deadline_ms,
        "encrypted": remote.encrypted,
        "server": server,
        "why": why,
    }


def _model(detector: OnnxDetector, served_by: Chain | FarChain) -> dict[str, Any]:
    verdicts = tried(served_by, detector.spec)
    far = isinstance(served_by, FarChain) and verdicts[0].passed
    best = verdicts[0] if far else fastest(verdicts)
    return {
        "id": detector.id,
        "version": detector.version,
        "serves": best.candidate.label if best is not None else "",
        "links": [link_answer(verdict) for verdict in verdicts],
    }


def _display() -> str:
    if sys.platform.startswith("linux"):
        return os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "none: “overread infer” works without"
    return "the desktop"


def _writable(folder: Path) -> bool:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(there, os.W_OK)


def _said_of(remote: dict[str, Any]) -> str:
    if not remote["url"]:
        return "none; everything runs on this machine"
    way = f"{remote['url']}, policy {remote['policy']}, {remote['deadline_ms']:g} ms"
    answers = f"{remote['server']} answers" if remote["server"] else f"⚠ {remote['why']}"
    return f"{way}{'' if remote['encrypted'] else ', not encrypted'}: {answers}"


def _print(answer: dict[str, Any]) -> None:
    engines = ", ".join(f"{name} {number}" for name, number in answer["engines"].items())
    say(
        f"Overread {answer['overread']} · Python {answer['python']} · {answer['platform']} · {answer['cores']} cores",
        f"GPU: {', '.join(answer['gpus']) or 'no NVIDIA driver answers'}",
        f"Engine: {engines or 'none'} ({', '.join(answer['providers'])})",
    )
    if answer["engine_trouble"]:
        say(f"  ⚠ {answer['engine_trouble']}")
    say(f"Display: {answer['display']}")
    say(f"Server: {_said_of(answer['remote'])}")
    for name, folder in answer["folders"].items():
        say(f"{name.capitalize()}: {folder['path']}{'' if folder['writable'] else '  ⚠ cannot be written'}")
    for plugin in answer["plugins"]:
        say(f"Plug-in {plugin['name']} ({plugin['package']}): {plugin['error'] or ', '.join(plugin['detectors'])}")
    for model in answer["models"]:
        say(f"Model {model['id']} {model['version']}: {model['serves'] or '⚠ nothing serves it'}")
        for link in model["links"]:
            say(f"  {link_line(link)}")
    if not answer["models"]:
        say("No model is installed.")
    say("Not for clinical use.")
