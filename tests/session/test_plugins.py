"""Plug-ins: a broken one is named and left out, and one that fails at work takes nothing along."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Mask
from overread.domain.ports import Detector, Proposal
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.session import plugins
from overread.session.plugins import GROUP, load_plugins
from support.series import head_like, write_series
from support.sitting import ABNORMAL, LESION, Sitting

SOUND = """
class Sound:
    id, title, version = "{0}", "Sound {0}", "1.0"
    def refuse(self, stack): return ""
    def __call__(self, volume, progress): return []
DETECTORS = [Sound()]
"""
BROKEN = {
    "syntax": "DETECTORS = [",
    "raises": "raise RuntimeError('no licence')",
    "leaves": "import sys\nsys.exit('goodbye')",
    "lacks": "import a_module_that_is_nowhere",
    "nothing": "",
    "number": "DETECTORS = 7",
    "stranger": "DETECTORS = [object()]",
    "pieces": SOUND + "DETECTORS = [Sound]",
    "nameless": SOUND + "Sound.id = None",
    "untold": SOUND + "Sound.title = property(lambda self: 1 // 0)",
    "twins": SOUND + "DETECTORS = [Sound(), Sound()]",
    "taken": SOUND.format("aaa"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Put packages where Python finds them, and their entry points where the program asks."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(sources: dict[str, str]) -> None:
        points = []
        for name, source in sources.items():
            (tmp_path / f"plugin_{name}.py").write_text(source.replace("{0}", name), "utf-8")
            monkeypatch.delitem(sys.modules, f"plugin_{name}", raising=False)
            points.append(EntryPoint(name, f"plugin_{name}:DETECTORS", GROUP))
        monkeypatch.setattr(plugins, "installed", lambda: points[::-1])

    return write


def test_a_broken_one_is_named_and_left_out(
    install: Callable[[dict[str, str]], None], caplog: pytest.LogCaptureFixture
) -> None:
    install({"aaa": SOUND, **BROKEN, "zzz": SOUND})
    with caplog.at_level(logging.WARNING):
        loaded = {plugin.name: plugin for plugin in load_plugins()}
    assert list(loaded) == sorted(("aaa", "zzz", *BROKEN))
    assert [name for name, plugin in loaded.items() if not plugin.error] == ["aaa", "zzz"]
    assert [detector.id for plugin in loaded.values() for detector in plugin.detectors] == ["aaa", "zzz"]
    assert loaded["raises"].error == "RuntimeError: no licence"
    assert "goodbye" in loaded["leaves"].error
    assert "Sound is no Detector" in loaded["pieces"].error
    assert "aaa" in loaded["taken"].error
    assert all(plugin.package for plugin in loaded.values())
    assert "raises" in caplog.text


class Plugin:
    """A plug-in whose answers a test chooses."""

    id, title, version = "odd", "Odd", "1.0"

    def __init__(self, answer: Callable[[Volume], Sequence[Proposal]], refused: Callable[[], str] = str) -> None:
        self.answer, self.refused = answer, refused

    def refuse(self, stack: Stack) -> str:
        return self.refused()

    def __call__(self, volume: Volume, progress: Callable[[float], None]) -> Sequence[Proposal]:
        progress(0.5)
        return self.answer(volume)


def block(volume: Volume, at: int = 4, **changes: Any) -> Proposal:
    voxels = np.zeros(volume.grid.shape, np.bool_)
    voxels[1:3, at : at + 4, 4:8] = True
    return Proposal(**{"label": "Odd", "concept": LESION, "category": ABNORMAL, "mask": Mask.of(voxels), **changes})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_series(tmp_path / "study", head_like((5, 24, 24)))
    return tmp_path / "study"


def use(sitting: Sitting, plugin: Detector) -> list[int]:
    told: list[int] = []
    sitting.session.run_plugin(plugin, told.append)
    sitting.settle()
    return told


def fail(volume: Volume) -> Sequence[Proposal]:
    raise ValueError("out of luck")


@pytest.mark.parametrize(
    "answer",
    [
        fail,
        lambda volume: None,
        lambda volume: [7],
        lambda volume: [block(volume), block(volume, mask=Mask.of(np.ones((9, 9, 9), np.bool_)))],
        lambda volume: [block(volume), block(volume, at=12, score=float("nan"))],
        lambda volume: [block(volume, score=1.5)],
        lambda volume: [block(volume, score="sure")],
    ],
)
def test_one_that_fails_is_named_and_changes_nothing(
    sit: Callable[..., Sitting], study: Path, answer: Callable[[Volume], Sequence[Proposal]]
) -> None:
    sitting = sit()
    sitting.open(study)
    assert use(sitting, Plugin(answer)) == []
    plain, fault = sitting.errors
    assert isinstance(plain, UserError)
    assert "Odd failed" in plain.title
    assert not isinstance(fault, UserError), "the log and the error window get the fault itself"
    assert sitting.session.findings == ()
    assert sitting.session.undo_label == ""
    assert use(sitting, Plugin(lambda volume: [block(volume)])) == [1]


def test_a_gate_that_fails_or_closes(sit: Callable[..., Sitting], study: Path) -> None:
    sitting = sit()
    sitting.open(study)
    assert use(sitting, Plugin(fail, lambda: "Odd reads CT only.")) == []
    assert [str(error) for error in sitting.errors] == ["Odd reads CT only."]
    sitting.errors.clear()
    assert use(sitting, Plugin(fail, lambda: str(1 // 0))) == []
    assert [type(error) for error in sitting.errors] == [UserError, ZeroDivisionError]


def test_it_sees_no_image_with_slices_missing(sit: Callable[..., Sitting], study: Path) -> None:
    broken = sorted(study.iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:-100])
    sitting = sit()
    sitting.open(study)
    assert use(sitting, Plugin(lambda volume: [block(volume)])) == []
    told = [str(error) for error in sitting.errors]
    assert told[0].startswith("Not all of this series is there: slice 3 could not be read.")
    assert told[1] == "Odd does not read this series: slice 3 could not be read."


def test_numbers_of_other_libraries_and_empty_masks(sit: Callable[..., Sitting], study: Path) -> None:
    sitting = sit()
    sitting.open(study)
    blank = Mask.of(np.zeros((5, 24, 24), np.bool_))
    answer = lambda volume: [block(volume, score=np.float32(0.25)), block(volume, mask=blank)]  # noqa: E731
    assert use(sitting, Plugin(answer)) == [1]
    (finding,) = sitting.session.shown_findings
    assert (finding.score, type(finding.score)) == (0.25, float)
    assert sitting.errors == []


def test_run_twice_it_adds_nothing_and_no_step(sit: Callable[..., Sitting], study: Path) -> None:
    sitting = sit()
    sitting.open(study)
    plugin = Plugin(lambda volume: [block(volume), block(volume, at=12)])
    use(sitting, plugin)
    before = sitting.session.findings
    use(sitting, plugin)
    assert sitting.session.findings == before
    assert sitting.session.undo()
    assert sitting.session.undo_label == ""
