"""Missing libraries and tools become packages, and packages become one command or an installation."""

import pytest

import system_libs
from shell import Answer
from system_libs import Missing

LDD = """\
/x/site-packages/PySide6/Qt/plugins/platforms/libqxcb.so:
\tlinux-vdso.so.1 (0x00007ffc5a7d2000)
\tlibQt6XcbQpa.so.6 => /x/site-packages/PySide6/Qt/lib/libQt6XcbQpa.so.6 (0x00007f1e2c000000)
\tlibxcb-cursor.so.0 => not found
\tlibxkbcommon-x11.so.0 => not found
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1e2b000000)
/x/site-packages/cv2/cv2.abi3.so:
\tlibgthread-2.0.so.0 => not found
\tlibxcb-cursor.so.0 => not found
\tlibodd.so.3 => not found
"""
CUDA = "onnxruntime/capi/libonnxruntime_providers_cuda.so"


@pytest.fixture
def installed(machine):
    """Lay out the files that the loader is asked about."""
    for name in ("PySide6/Qt/plugins/platforms/libqxcb.so", "PySide6/QtGui.abi3.so", "cv2/cv2.abi3.so", CUDA):
        (machine.site / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.site / name).write_text("")
    machine.answers["fc-list"] = Answer(0, "/usr/share/fonts/DejaVuSans.ttf: DejaVu Sans\n")
    return machine


def test_what_the_loader_did_not_find_is_read_once_each():
    assert system_libs.not_found(LDD) == (
        "libxcb-cursor.so.0",
        "libxkbcommon-x11.so.0",
        "libgthread-2.0.so.0",
        "libodd.so.3",
    )
    assert system_libs.not_found("\tlibc.so.6 => /lib/libc.so.6\n") == ()


@pytest.mark.parametrize(
    ("soname", "package"),
    [
        ("libxcb-cursor.so.0", "libxcb-cursor0"),
        ("libEGL.so.1", "libegl1"),
        ("libGL.so.1", "libgl1"),
        ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
        ("libdbus-1.so.3", "libdbus-1-3"),
        ("libfontconfig.so.1", "libfontconfig1"),
        ("libxcb-icccm.so.4", "libxcb-icccm4"),
    ],
)
def test_a_library_has_its_package(machine, soname, package):
    assert system_libs.packages_for(machine.host(), [soname]) == Missing((package,))


def test_a_library_without_a_known_package_is_named_itself(machine):
    assert system_libs.packages_for(machine.host(), ["libodd.so.3"]) == Missing((), ("libodd.so.3",))


def test_a_release_that_renamed_a_package_gets_the_new_name(machine):
    machine.answers["apt-cache policy"] = Answer(
        0,
        "libglib2.0-0:\n  Installed: (none)\n  Candidate: (none)\n"
        "libglib2.0-0t64:\n  Installed: (none)\n  Candidate: 2.80.0-6\n",
    )
    assert system_libs.packages_for(machine.host(), ["libglib-2.0.so.0"]) == Missing(("libglib2.0-0t64",))


def test_an_older_release_gets_the_old_name(machine):
    machine.answers["apt-cache policy"] = Answer(0, "libglib2.0-0:\n  Installed: (none)\n  Candidate: 2.74.6-2\n")
    assert system_libs.packages_for(machine.host(), ["libglib-2.0.so.0"]) == Missing(("libglib2.0-0",))


def test_two_libraries_of_one_package_name_it_once(machine):
    missing = system_libs.packages_for(machine.host(), ["libglib-2.0.so.0", "libgthread-2.0.so.0"])
    assert missing.packages == ("libglib2.0-0",)


def test_the_loader_is_asked_about_the_plugin_of_the_display(installed):
    installed.answers["ldd"] = Answer(0, LDD)
    missing = system_libs.missing_libraries(installed.host(), installed.site)
    assert missing == Missing(("libxcb-cursor0", "libxkbcommon-x11-0", "libglib2.0-0"), ("libodd.so.3",))
    (asked,) = installed.ran("ldd")
    assert any(name.endswith("libqxcb.so") for name in asked)
    assert not any(name.endswith(CUDA) for name in asked)


def test_before_qt_is_there_its_needs_are_foreseen(machine):
    machine.site.mkdir(parents=True)
    names = [name for name in system_libs.QT_NEEDS if name != "libxcb-cursor.so.0"]
    machine.answers["/sbin/ldconfig -p"] = Answer(
        0, "".join(f"\t{name} (libc6,x86-64) => /lib/{name}\n" for name in names)
    )
    machine.answers["fc-list"] = Answer(0, "some font\n")
    assert system_libs.missing_libraries(machine.host(), machine.site) == Missing(("libxcb-cursor0",))


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_elsewhere_than_on_linux_nothing_is_asked(installed, system):
    host = installed.host(system)
    assert not system_libs.missing_libraries(host, installed.site) + system_libs.missing_test_tools(host)
    assert installed.commands == []


def test_no_font_at_all_asks_for_one(installed, monkeypatch):
    installed.answers["ldd"] = Answer(0)
    installed.answers["fc-list"] = Answer(0, "\n")
    assert system_libs.missing_libraries(installed.host(), installed.site) == Missing(("fonts-dejavu-core",))


def test_without_fontconfig_the_folders_are_searched(machine, tmp_path, monkeypatch):
    machine.answers["fc-list"] = Answer(127)
    monkeypatch.setattr(system_libs, "FONT_FOLDERS", (str(tmp_path / "fonts"),))
    assert not system_libs.has_font(machine.host())
    (tmp_path / "fonts/deep").mkdir(parents=True)
    (tmp_path / "fonts/deep/a.ttf").write_text("")
    assert system_libs.has_font(machine.host())


def test_the_tools_of_the_tests_have_their_packages(machine):
    machine.absent = {"Xvfb", "dciodvfy"}
    assert system_libs.missing_test_tools(machine.host()) == Missing(("xvfb", "dicom3tools"))


def test_a_server_and_its_plug_in_are_looked_for_as_files(machine):
    machine.answers["test -e"] = Answer(1)
    assert system_libs.missing_test_tools(machine.host()) == Missing(("orthanc", "orthanc-dicomweb"))


def test_without_rights_nothing_is_installed_and_one_command_is_named(machine):
    missing = Missing(("libegl1", "libgl1"))
    assert system_libs.supply(machine.host(), lambda: missing) == missing
    assert machine.ran("apt-get") == []
    assert missing.remedy(machine.host()).endswith("    sudo apt-get install -y libegl1 libgl1")


@pytest.mark.parametrize(("rights", "start"), [("root", ("env",)), ("sudo", ("sudo", "-n", "env"))])
def test_with_rights_apt_installs(machine, rights, start):
    machine.rights = rights
    answers = [Missing(("libegl1",)), Missing(("libegl1",)), Missing()]
    assert not system_libs.supply(machine.host(), lambda: answers.pop(0))
    (update,) = machine.ran("update")
    (install,) = machine.ran("install", "-y")
    assert update[: len(start)] == install[: len(start)] == start
    assert install[-1] == "libegl1"


def test_one_package_that_is_not_to_be_had_does_not_keep_the_others_out(machine):
    machine.rights = "root"
    start = "env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "
    machine.answers[start + "odd"] = Answer(100, err="E: Unable to locate package odd\n")
    left = system_libs.supply(machine.host(), lambda: Missing(("odd", "xvfb")))
    assert [command[-1] for command in machine.ran("install", "-y")] == ["xvfb", "odd", "xvfb"]
    assert machine.said[-1] == "apt-get could not install odd: E: Unable to locate package odd"
    assert left


def test_a_system_without_apt_gets_names_and_no_command(machine):
    machine.rights = "root"
    machine.absent = {"apt-get"}
    missing = Missing(("libegl1",), ("libodd.so.3",))
    assert system_libs.supply(machine.host(), lambda: missing) == missing
    text = missing.remedy(machine.host())
    assert "libegl1" in text
    assert "libodd.so.3" in text
    assert "apt-get" not in text


def test_nothing_missing_asks_for_no_rights(machine):
    assert not system_libs.supply(machine.host(), Missing)
    assert machine.commands == []
