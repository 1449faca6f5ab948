"""The fastest link that passes serves, and when it fails while it runs the next one goes on, with the same slice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Cancel
from overread.infer.backends.candidate import Lack
from overread.infer.backends.judge import out_of_memory, said
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import Probe
from support.engines import F32, Device, chain_of
from support.models import bright_model

Run = Callable[[Probe, F32], Mapping[str, F32]]


def right(probe: Probe, tensor: F32) -> Mapping[str, F32]:
    """What the self-test expects, once for each image of a batch."""
    return {name: np.repeat(output, len(tensor), axis=0) for name, output in probe.outputs.items()}


def slow(seconds: float) -> Run:
    def run(probe: Probe, tensor: F32) -> Mapping[str, F32]:
        time.sleep(seconds)
        return right(probe, tensor)

    return run


def off(by: float) -> Run:
    return lambda probe, tensor: {name: output + np.float32(by) for name, output in right(probe, tensor).items()}


class Breaks:
    """Right at first; raises from when a test says so."""

    def __init__(self, error: Exception, above: int = 0) -> None:
        self.error, self.above, self.broken = error, above, False

    def __call__(self, probe: Probe, tensor: F32) -> Mapping[str, F32]:
        if self.broken and len(tensor) > self.above:
            raise self.error
        return right(probe, tensor)


IMAGE = np.zeros((1, 1, 256, 256), np.float32)


class TestTheFastestServes:
    def test_the_first_that_passes_serves_at_once_and_a_faster_one_takes_over(self, bright: ModelSpec) -> None:
        served = chain_of(bright, first=Device(slow(0.02)), quick=Device(right), wrong=Device(off(0.01))).serve(bright)
        backend = served.backend
        assert (backend.name, [c.name for c in served.pending]) == ("first", ["quick", "wrong"])
        assert served.why == "quick fp32: not tried yet; wrong fp32: not tried yet"
        backend.run(IMAGE, Cancel())
        assert backend.name == "first"
        served.settle()
        assert backend.name == "first", "it names what ran last"
        backend.run(IMAGE, Cancel())
        assert backend.name == served.backend.name == "quick"
        first, wrong = served.why.split("; ")
        assert first.startswith("first fp32: passes, at 2")
        assert wrong == "wrong fp32: self-test missed: off by 0.01, 0.0001 allowed"

    def test_a_slower_one_does_not(self, bright: ModelSpec) -> None:
        served = chain_of(bright, first=Device(right), slower=Device(slow(0.02))).serve(bright)
        served.settle()
        assert served.backend.name == "first"
        assert served.why.startswith("slower fp32: passes, at ")

    def test_what_is_missing_is_not_started(self, bright: ModelSpec) -> None:
        absent = Device(lack=Lack("libwonder.so is not installed", "pip install wonder"))
        served = chain_of(bright, absent=absent, there=Device(right)).serve(bright)
        assert (served.backend.name, served.pending, absent.started) == ("there", (), 0)
        assert served.why == "absent fp32: libwonder.so is not installed"
        assert served.verdicts[0].fix == "pip install wonder"

    def test_while_one_is_tried_the_other_goes_on_serving(self, bright: ModelSpec) -> None:
        building, built = threading.Event(), threading.Event()

        def build() -> None:
            building.set()
            assert built.wait(30)

        chain = chain_of(bright, first=Device(slow(0.01)), engine=Device(right, start=build))
        served = chain.serve(bright)
        thread = threading.Thread(target=served.settle)
        thread.start()
        assert building.wait(30)
        backend = served.backend
        backend.run(IMAGE, Cancel())
        assert backend.name == "first"
        built.set()
        thread.join(30)
        backend.run(IMAGE, Cancel())
        assert backend.name == "engine"

    def test_where_none_passes_the_reasons_are_said(self, bright: ModelSpec) -> None:
        def refuse() -> None:
            raise RuntimeError("Exception from src/core.cpp:12:\n\nno such device\nmore")

        chain = chain_of(bright, wrong=Device(off(1.0)), broken=Device(start=refuse))
        with pytest.raises(UserError, match=r"wrong fp32: self-test missed: off by 1, .*; broken fp32: no such device"):
            chain.serve(bright)
        verdict, _ = chain.judged(bright, chain.candidates[1])
        assert verdict.fix == "mend broken"


class TestFailingWhileItRuns:
    def test_the_next_link_runs_the_same_slice(self, bright: ModelSpec, caplog: pytest.LogCaptureFixture) -> None:
        breaks = Breaks(RuntimeError("the device was lost"))
        served = chain_of(bright, gone=Device(breaks), next=Device(slow(0.01))).serve(bright)
        served.settle()
        backend = served.backend
        breaks.broken = True
        answer = backend.run(IMAGE, Cancel())
        assert answer["probability"].shape == IMAGE.shape
        assert backend.name == served.link.verdict.candidate.name == "next"
        assert served.notice == "gone fp32 failed (the device was lost); next fp32 goes on."
        assert served.why == "gone fp32: failed while it ran (the device was lost)"
        assert "the device was lost" in caplog.text

    def test_of_those_left_the_fastest_goes_on(self, bright: ModelSpec) -> None:
        breaks = Breaks(RuntimeError("lost"))
        devices = {"quick": Device(breaks), "slow": Device(slow(0.03)), "middling": Device(slow(0.01))}
        served = chain_of(bright, **devices).serve(bright)
        served.settle()
        breaks.broken = True
        served.backend.run(IMAGE, Cancel())
        assert served.backend.name == "middling"

    def test_one_that_nobody_had_tried_is_tried_then(self, bright: ModelSpec) -> None:
        breaks, untried = Breaks(RuntimeError("lost")), Device(right)
        served = chain_of(bright, first=Device(breaks), wrong=Device(off(1.0)), last=untried).serve(bright)
        assert untried.started == 0
        breaks.broken = True
        served.backend.run(IMAGE, Cancel())
        assert (served.backend.name, untried.started, served.pending) == ("last", 1, ())

    def test_a_batch_is_halved_before_a_link_is_given_up(self, bright: ModelSpec) -> None:
        tight = Breaks(RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: cannot hold that"), above=1)
        device = Device(tight)
        served = chain_of(bright, tight=device, other=Device(slow(0.01))).serve(bright)
        tight.broken = True
        device.sizes.clear()
        answer = served.backend.run(np.zeros((3, 1, 256, 256), np.float32), Cancel())
        assert answer["probability"].shape == (3, 1, 256, 256)
        assert device.sizes == [3, 1, 2, 1, 1]
        assert (served.backend.name, served.notice) == ("tight", "")

    def test_one_image_too_large_for_the_memory_goes_to_the_next_link(self, bright: ModelSpec) -> None:
        full = Breaks(MemoryError())
        served = chain_of(bright, full=Device(full), roomy=Device(right)).serve(bright)
        full.broken = True
        answer = served.backend.run(np.zeros((2, 1, 256, 256), np.float32), Cancel())
        assert answer["probability"].shape == (2, 1, 256, 256)
        assert served.notice == "full fp32 failed (out of memory); roomy fp32 goes on."

    def test_where_none_is_left_the_reader_is_told_and_may_try_again(self, bright: ModelSpec) -> None:
        one, two = Breaks(RuntimeError("lost")), Breaks(RuntimeError("lost too"))
        chain = chain_of(bright, one=Device(one), two=Device(two))
        served = chain.serve(bright)
        served.settle()
        one.broken = two.broken = True
        said_to_reader = r"^Bright cannot run on this machine \(one fp32: failed while it ran \(lost\); two fp32: "
        for _ in range(2):
            with pytest.raises(UserError, match=said_to_reader):
                served.backend.run(IMAGE, Cancel())
            assert not served.alive
            with pytest.raises(UserError):
                _ = served.link
        one.broken = False
        assert chain.serve(bright).backend.name == "one"

    def test_what_was_called_off_is_no_failure(self, bright: ModelSpec) -> None:
        called_off = Breaks(Cancelled())
        served = chain_of(bright, first=Device(called_off), other=Device(right)).serve(bright)
        called_off.broken = True
        with pytest.raises(Cancelled):
            served.backend.run(IMAGE, Cancel())
        assert (served.backend.name, served.notice) == ("first", "")

    def test_several_threads_that_fail_together_give_one_link_up(self, bright: ModelSpec) -> None:
        both = threading.Barrier(2)

        class Together(Breaks):
            def __call__(self, probe: Probe, tensor: F32) -> Mapping[str, F32]:
                if self.broken:
                    both.wait(30)
                return super().__call__(probe, tensor)

        breaks = Together(RuntimeError("lost"))
        served = chain_of(bright, gone=Device(breaks), next=Device(right), last=Device(right)).serve(bright)
        breaks.broken = True
        ran: list[str] = []

        def work() -> None:
            backend = served.backend
            backend.run(IMAGE, Cancel())
            ran.append(backend.name)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert ran == ["next", "next"]


class TestTheBook:
    def test_the_next_start_judges_nothing_anew_and_takes_the_fastest(self, bright: ModelSpec, tmp_path: Path) -> None:
        def devices() -> dict[str, Device]:
            return {"slower": Device(slow(0.02)), "quick": Device(right), "wrong": Device(off(1.0))}

        chain_of(bright, tmp_path / "cache", **devices()).serve(bright).settle()
        again = devices()
        served = chain_of(bright, tmp_path / "cache", **again).serve(bright)
        assert (served.backend.name, served.pending) == ("quick", ())
        assert {name: device.started for name, device in again.items()} == {"slower": 0, "quick": 1, "wrong": 0}
        assert [size for device in again.values() for size in device.sizes] == []
        assert "wrong fp32: self-test missed: off by 1, 0.0001 allowed" in served.why

    @pytest.mark.parametrize("change", ["driver", "weights", "tolerance", "self-test"])
    def test_under_other_circumstances_it_is_judged_anew(self, bright: ModelSpec, tmp_path: Path, change: str) -> None:
        first = Device(right)
        chain_of(bright, tmp_path / "cache", only=first).serve(bright)
        assert first.sizes
        spec, later = bright, Device(right)
        manifest = bright.folder / "model.toml"
        if change == "driver":
            later.identity = "2"
        elif change == "weights":
            other = bright_model(tmp_path / "other", level=0.7)
            for name in ("model.onnx", "model.toml", "selftest.npz"):
                (bright.folder / name).write_bytes((other / name).read_bytes())
            spec = read(bright.folder)
        elif change == "tolerance":
            manifest.write_text(manifest.read_text("utf-8").replace("fp32 = 1e-4", "fp32 = 2e-4"), "utf-8")
            spec = read(bright.folder)
        else:
            with np.load(bright.selftest) as stored:
                np.savez(bright.selftest, **stored)
        chain_of(spec, tmp_path / "cache", only=later).serve(spec)
        assert later.sizes, "nothing was run"

    @pytest.mark.parametrize(
        "content", ["", "[]", '{"schema": 1}', '{"schema": 1, "links": {"x": 3}}', '{"schema": 9}']
    )
    def test_a_damaged_book_is_as_good_as_none(self, bright: ModelSpec, tmp_path: Path, content: str) -> None:
        (tmp_path / "cache").mkdir()
        book = tmp_path / "cache" / "verdicts.json"
        book.write_text(content, "utf-8")
        assert chain_of(bright, tmp_path / "cache", only=Device(right)).serve(bright).backend.name == "only"
        assert json.loads(book.read_text("utf-8"))["links"]
        assert [path.name for path in book.parent.iterdir()] == ["verdicts.json"]

    def test_a_folder_that_cannot_be_written_is_done_without(self, bright: ModelSpec, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file stands in the way", "utf-8")
        assert chain_of(bright, tmp_path / "cache", only=Device(right)).serve(bright).backend.name == "only"

    def test_what_an_engine_raised_is_not_kept(self, bright: ModelSpec, tmp_path: Path) -> None:
        breaks = Breaks(MemoryError())
        breaks.broken = True
        devices = {"full": Device(breaks), "other": Device(slow(0.01))}
        served = chain_of(bright, tmp_path / "cache", **devices).serve(bright)
        assert served.why == "full fp32: out of memory"
        breaks.broken = False
        served = chain_of(bright, tmp_path / "cache", **devices).serve(bright)
        served.settle()
        assert served.backend.name == "full"

    def test_what_was_compiled_before_goes_when_it_is_judged_anew(self, bright: ModelSpec, tmp_path: Path) -> None:
        device = Device(right)
        chain = chain_of(bright, tmp_path / "cache", only=device)
        chain.serve(bright)
        ((_, kept),) = json.loads((tmp_path / "cache" / "verdicts.json").read_text("utf-8"))["links"].items()
        compiled = tmp_path / "cache" / "compiled" / kept["key"][:32]
        compiled.mkdir(parents=True)
        device.identity = "2"
        chain.serve(bright)
        assert not compiled.exists()


@pytest.mark.parametrize(
    ("error", "memory", "line"),
    [
        (MemoryError(), True, "out of memory"),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0"), True, "out of memory"),
        (RuntimeError("Failed to allocate memory for requested buffer of size 8"), True, "out of memory"),
        (RuntimeError("std::bad_alloc"), True, "out of memory"),
        (
            RuntimeError("Exception from src/a.cpp:1:\nCheck 'x' failed at b.cpp\n\nthe port is gone\n"),
            False,
            "the port is gone",
        ),
        (RuntimeError(""), False, "RuntimeError"),
    ],
)
def test_what_an_engine_means(error: Exception, memory: bool, line: str) -> None:
    assert (out_of_memory(error), said(error)) == (memory, line)
