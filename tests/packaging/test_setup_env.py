"""The environment is made once, mended when broken, and never holds both builds of ONNX Runtime."""

import dataclasses
import shutil

import pytest

import setup_env
from shell import Answer, SetupError

CPU = {"cpu"}


def test_a_driver_that_answers_chooses_gpu(machine):
    machine.driver = True
    assert setup_env.choose_runtime(machine.host()) == "gpu"
    assert setup_env.choose_runtime(machine.host("Windows", "AMD64")) == "gpu"


def test_no_driver_chooses_cpu(machine):
    assert setup_env.choose_runtime(machine.host()) == "cpu"


@pytest.mark.parametrize(
    "answer", [Answer(9, "GPU 0: broken"), Answer(0, "No devices were found\n"), Answer(124, err="no answer in 30 s")]
)
def test_a_driver_that_does_not_answer_well_chooses_cpu(machine, answer):
    machine.answers["nvidia-smi"] = answer
    assert setup_env.choose_runtime(machine.host()) == "cpu"


@pytest.mark.parametrize(("system", "kind"), [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_where_there_are_no_gpu_packages_the_driver_is_not_asked(machine, system, kind):
    machine.driver = True
    assert setup_env.choose_runtime(machine.host(system, kind)) == "cpu"
    assert machine.commands == []


def test_the_choice_can_be_overruled(machine):
    machine.driver = True
    machine.environ["OVERREAD_RUNTIME"] = "cpu"
    assert setup_env.choose_runtime(machine.host()) == "cpu"
    machine.environ["OVERREAD_RUNTIME"] = "tpu"
    with pytest.raises(SetupError, match="only be cpu or gpu"):
        setup_env.choose_runtime(machine.host())


def test_the_first_start_installs_from_the_lock(machine, environment):
    assert environment.ready(CPU) == machine.root / ".venv/bin/python"
    (install,) = machine.ran("install")
    assert install[install.index("-c") + 1] == "packaging/constraints.txt"
    assert install[install.index("-e") + 1] == ".[cpu]"


def test_the_second_start_installs_nothing(machine, environment):
    environment.ready(CPU)
    machine.commands.clear()
    machine.online = False
    environment.ready(CPU)
    assert machine.ran("-m", "pip") == []
    assert machine.ran("-m", "venv") == []


def test_the_tests_complete_what_a_start_made_and_leave_it_fit_to_start(machine, environment):
    environment.ready(CPU)
    environment.ready({"cpu", "train", "test"})
    assert len(machine.ran("-m", "venv")) == 1
    assert ".[cpu,test,train]" in machine.commands[-1]
    machine.commands.clear()
    environment.ready(CPU)
    environment.ready({"cpu", "train", "test"})
    assert machine.ran("-m", "pip") == []


def test_another_lock_is_installed_again(machine, environment):
    environment.ready(CPU)
    (machine.root / "packaging/constraints.txt").write_text("numpy==2.5.0\n")
    machine.commands.clear()
    environment.ready(CPU)
    assert len(machine.ran("install")) == 1
    assert machine.ran("-m", "venv") == []


def test_another_setting_of_a_linter_installs_nothing(machine, environment):
    environment.ready(CPU)
    with (machine.root / "pyproject.toml").open("a") as file:
        file.write("[tool.ruff]\nline-length = 120\n")
    machine.commands.clear()
    environment.ready(CPU)
    assert machine.ran("install") == []


@pytest.mark.parametrize(
    ("before", "after", "gone", "there"),
    [("cpu", "gpu", "onnxruntime", "onnxruntime-gpu"), ("gpu", "cpu", "onnxruntime-gpu", "onnxruntime")],
)
def test_a_switch_takes_the_other_build_out_first(machine, environment, before, after, gone, there):
    environment.ready({before, "test"})
    machine.commands.clear()
    environment.ready({after})
    order = [word for command in machine.commands for word in command if word in ("uninstall", "--dry-run", "-e")]
    assert order == ["-e", "--dry-run", "uninstall", "-e"]
    assert there in machine.installed()
    assert gone not in machine.installed()
    assert "test" in machine.installed()
    assert environment.serves({after, "test"})
    assert not environment.serves({before})


def test_without_network_a_switch_leaves_what_works(machine, environment):
    environment.ready(CPU)
    machine.online = False
    environment.ready({"gpu"})
    assert machine.ran("uninstall") == []
    assert environment.serves(CPU)
    assert any("models will run on the CPU" in line for line in machine.said)


def test_gpu_packages_that_cannot_be_had_leave_the_cpu_and_are_not_asked_for_again(machine, environment):
    machine.gpu_packages = False
    environment.ready({"gpu"})
    assert "onnxruntime" in machine.installed()
    machine.commands.clear()
    environment.ready({"gpu"})
    assert machine.ran("-m", "pip") == []
    machine.gpu_packages = True
    machine.environ["OVERREAD_RUNTIME"] = "gpu"
    environment.ready({"gpu"})
    assert "onnxruntime-gpu" in machine.installed()
    assert "onnxruntime" not in machine.installed()


def test_a_failed_installation_says_what_to_do_and_is_tried_again(machine, environment):
    machine.online = False
    with pytest.raises(SetupError) as failure:
        environment.ready(CPU)
    assert str(failure.value).startswith(
        "Installing the packages for cpu failed: the package index cannot be reached. Connect to the network"
    )
    machine.online = True
    environment.ready(CPU)
    assert environment.serves(CPU)


def test_a_failed_completion_leaves_the_start_intact(machine, environment):
    environment.ready(CPU)
    machine.online = False
    with pytest.raises(SetupError):
        environment.ready({"cpu", "test"})
    machine.commands.clear()
    environment.ready(CPU)
    assert machine.ran("-m", "pip") == []


def test_an_interrupted_installation_is_made_anew(machine, environment, monkeypatch):
    def interrupted(words):
        if "install" in words:
            (machine.site / "half-1.dist-info").mkdir()
            raise KeyboardInterrupt
        return Answer(0)

    with monkeypatch.context() as broken:
        broken.setattr(machine, "_pip", interrupted)
        with pytest.raises(KeyboardInterrupt):
            environment.ready(CPU)
    assert not environment.serves(CPU)
    environment.ready(CPU)
    assert "half" not in machine.installed()
    assert any("interrupted" in line for line in machine.said)


def test_an_environment_that_was_moved_is_made_anew(machine, environment, tmp_path):
    environment.ready(CPU)
    there = tmp_path / "elsewhere"
    shutil.copytree(machine.root, there, ignore=shutil.ignore_patterns("elsewhere"))
    moved = setup_env.Environment(dataclasses.replace(machine.host(), root=there))
    assert not moved.serves(CPU)
    machine.root = there
    moved.ready(CPU)
    assert moved.serves(CPU)
    assert any("made at another place" in line for line in machine.said)


@pytest.mark.parametrize("answer", [Answer(127, err="no such file"), Answer(0, "3.9\n")])
def test_an_environment_that_does_not_start_is_made_anew(machine, environment, answer):
    environment.ready(CPU)
    machine.answers[str(environment.python)] = answer
    assert not environment.serves(CPU)
    (machine.site / "old-1.dist-info").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "_venv", lambda: (machine.answers.clear(), type(machine)._venv(machine))[1])
        environment.ready(CPU)
    assert "old" not in machine.installed()


def test_an_environment_made_by_hand_is_kept_and_completed(machine, environment):
    machine._venv()
    (machine.site / "mine-1.dist-info").mkdir()
    environment.ready(CPU)
    assert "mine" in machine.installed()
    assert environment.serves(CPU)


def test_the_stamp_is_written_last(machine, environment, monkeypatch):
    seen = []
    pip = machine._pip
    monkeypatch.setattr(machine, "_pip", lambda words: (seen.append(environment.serves(CPU)), pip(words))[1])
    environment.ready(CPU)
    assert seen
    assert not any(seen)
    assert environment.serves(CPU)


def test_a_damaged_stamp_is_no_stamp(machine, environment):
    environment.ready(CPU)
    (machine.root / ".venv/overread-setup.json").write_text('{"place": ')
    assert not environment.serves(CPU)


def test_without_ensurepip_the_package_is_named(machine, environment, monkeypatch):
    monkeypatch.setattr(setup_env, "_has_ensurepip", lambda host: False)
    with pytest.raises(SetupError, match=r"sudo apt-get install -y python3\.\d+-venv"):
        environment.ready(CPU)
    assert machine.ran("-m", "venv") == []


def test_without_ensurepip_root_installs_the_package(machine, environment, monkeypatch):
    machine.rights = "root"
    monkeypatch.setattr(setup_env, "_has_ensurepip", lambda host: bool(machine.ran("install", "-y")))
    environment.ready(CPU)
    assert environment.serves(CPU)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full. Make room"),
        (
            "tensorrt-cu13-libs cannot download the real wheel file to install.",
            "the vendor's own index, which has TensorRT",
        ),
        ("NameResolutionError: failed", "the package index cannot be reached. Connect to the network"),
        ("SSLError CERTIFICATE_VERIFY_FAILED", "the certificate of the package index is not trusted here"),
        ("ERROR: No matching distribution found for numpy", "has no build for this system and this Python"),
        ("something else", "pip reports the error below"),
    ],
)
def test_a_failure_is_said_in_plain_words_with_what_pip_said_below(output, words):
    text = setup_env.explain("Installing", f"WARNING: Location 'x' is ignored\n{output}\n")
    assert text.startswith("Installing failed: ")
    assert words in text
    assert text.endswith(f"\n    {output}")
    assert "ignored" not in text
