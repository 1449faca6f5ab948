"""What run.py decides and says."""

import ast
import json
import subprocess
import sys

import pytest

import run
import shell
from shell import Answer, SetupError

ANSWER = {
    "model": {"id": "glioma-flair", "version": "1.0", "sha256": "ab"},
    "backend": {"name": "CPU", "precision": "float32", "why": ""},
    "ms": {"load": 1, "pre": 1, "run": 1, "post": 1, "total": 3210.4},
    "series_uid": "1.2",
    "findings": [
        {
            "id": "1.2.3",
            "kind": "Segmentation",
            "label": "Glioma",
            "code": None,
            "score": 0.931,
            "volume_ml": 34.21,
            "axes_mm": [45.2, 38.1],
            "box_mm": None,
            "status": "ACCEPTED",
        }
    ],
    "files": [{"path": "overread-output/seg.dcm", "kind": "SEG", "sop_instance_uid": "1.2.4"}],
}


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("Linux", {}, False),
        ("Linux", {"DISPLAY": ""}, False),
        ("Linux", {"DISPLAY": ":0"}, True),
        ("Linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("Windows", {}, True),
        ("Darwin", {}, True),
    ],
)
def test_a_window_needs_a_display(machine, system, environ, expected):
    machine.environ = environ
    assert run.has_display(machine.host(system)) is expected


def test_the_answer_is_told_in_plain_words():
    assert run.report(ANSWER) == [
        "The model glioma-flair 1.0 ran on CPU (float32) in 3.2 s.",
        "Findings: 1",
        "  Glioma, 34.2 ml, 45 × 38 mm, score 0.93, accepted",
        "Files written: 1",
        "  overread-output/seg.dcm (SEG)",
        "Accepted without a person looking: not for clinical use.",
    ]


def test_no_finding_is_told_too():
    lines = run.report(ANSWER | {"findings": [], "files": []})
    assert "Findings: none" in lines
    assert "Files written: none" in lines


def test_a_finding_that_has_only_a_label_is_told():
    assert run.describe({"label": "Normal", "status": "PROPOSED", "score": None}) == "Normal, proposed"


class Program:
    """Stands in for `python -m overread`: gives an exit status and what goes to stdout."""

    def __init__(self, monkeypatch, *answers):
        self.answers = list(answers)
        self.commands = []
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, command, **_):
        self.commands.append(command[command.index("overread") + 1 :])
        code, out = self.answers.pop(0)
        return subprocess.CompletedProcess(command, code, out)


def test_without_a_path_the_demo_study_is_read(machine, monkeypatch):
    program = Program(monkeypatch, (0, "/demo study\n"), (0, json.dumps(ANSWER)))
    assert run.read_without_window(machine.host(), machine.root, []) == 0
    options = ["--model", "glioma-flair", "--out", "overread-output", "--accept", "--json"]
    assert program.commands == [["demo", "--path"], ["infer", "/demo study", *options]]
    assert "Glioma" in machine.said[-1]


def test_the_status_of_the_program_is_ours_and_every_path_is_read(machine, monkeypatch):
    program = Program(monkeypatch, (3, ""), (0, json.dumps(ANSWER)))
    assert run.read_without_window(machine.host(), machine.root, ["a", "b"]) == 3
    assert [command[5] for command in program.commands] == [
        str(run.Path("overread-output/a")),
        str(run.Path("overread-output/b")),
    ]


def test_a_demo_study_that_is_not_there_ends_with_its_status(machine, monkeypatch):
    Program(monkeypatch, (-9, ""))
    assert run.read_without_window(machine.host(), machine.root, []) == 137


@pytest.mark.parametrize("answer", ["", "{}", "[1]", "Traceback"])
def test_an_answer_that_cannot_be_understood_is_a_fault(machine, answer, capsys):
    assert run.tell(machine.host(), answer) == 1
    assert "cannot be understood" in capsys.readouterr().err


def test_a_path_that_is_not_there_is_said_before_anything_is_installed(capsys, monkeypatch):
    monkeypatch.setattr(run, "prepare", lambda host: pytest.fail("nothing should be installed"))
    assert run.main(["/no/such/study"]) == 3
    assert capsys.readouterr().err == "There is no file or folder “/no/such/study”.\n"


@pytest.fixture
def lacking(machine):
    """A machine that has all packages, and lacks one library."""
    machine._venv()
    plugin = machine.site / "PySide6/Qt/plugins/platforms/libqxcb.so"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("")
    machine.answers["ldd"] = Answer(0, "\tlibxcb-cursor.so.0 => not found\n")
    machine.answers["fc-list"] = Answer(0, "a font\n")
    return machine


def test_a_window_that_cannot_open_stops_with_the_command_to_type(lacking):
    lacking.environ["DISPLAY"] = ":0"
    with pytest.raises(SetupError, match=r"cannot open yet(.|\n)*sudo apt-get install -y libxcb-cursor0$"):
        run.prepare(lacking.host())


def test_without_a_display_the_same_is_only_mentioned(lacking):
    run.prepare(lacking.host())
    assert lacking.said[-1].endswith("sudo apt-get install -y libxcb-cursor0")


def test_an_expected_failure_is_a_sentence_and_not_a_traceback(capsys):
    def fail():
        raise SetupError("The disk is full.")

    assert shell.guarded(fail) == 1
    assert capsys.readouterr().err == "The disk is full.\n"


def test_ctrl_c_ends_with_130(capsys):
    def stop():
        raise KeyboardInterrupt

    assert shell.guarded(stop) == 130
    assert "Stopped" in capsys.readouterr().err


def test_a_command_that_is_not_there_answers(repository):
    assert shell.run("no-such-command-anywhere").code == shell.NOT_FOUND


def test_a_command_that_hangs_is_given_up():
    assert shell.run(sys.executable, "-c", "input and __import__('threading').Event().wait()", timeout=0.5).code == 124


@pytest.mark.parametrize("name", ["run.py", "test.py", "old_python.py"])
def test_an_older_python_can_read_as_far_as_the_sentence(repository, name):
    ast.parse((repository / "packaging" / name).read_text(encoding="utf-8"), feature_version=(3, 7))


def test_an_older_python_gets_one_sentence(repository):
    script = repository / "packaging/old_python.py"
    code = f"import sys; sys.version_info = (3, 9, 2); sys.argv = ['run.py']; exec(open({str(script)!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "Overread needs Python 3.11 or later, and this is Python 3.9. Start it with a newer one, "
        "for example: python3.12 run.py\n"
    )
