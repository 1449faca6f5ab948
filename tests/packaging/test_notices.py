"""Everything that runs with Overread is named with its licence, and nothing is under the GPL alone."""

from importlib import metadata

import pytest

import notices


def listed(repository):
    page = (repository / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| ")]
    return {name.strip(): (licence.strip(), use.strip()) for name, licence, use in rows[1:]}


def test_every_runtime_dependency_is_listed_with_licence_and_use(repository):
    table = listed(repository)
    for requirements in notices.project().values():
        for name in notices.names(requirements):
            assert all(table[name]), name


def test_everything_they_bring_is_listed(repository):
    missing = set(notices.closure(notices.names(notices.project()[""]))) - set(listed(repository))
    assert not missing, f"run packaging/notices.py: {missing} not listed"


def test_nothing_installed_is_under_the_gpl_alone():
    project = notices.project()
    asked = notices.names(project[""] + project["cpu"] + project["gpu"] + project["openvino"])
    licences = {}
    for name in notices.closure(asked):
        try:
            licences[name] = notices.declared(name)
        except metadata.PackageNotFoundError:
            assert name in notices.EXTRAS or name in notices.LICENCES, f"{name} is not installed"
    assert len(licences) > 20
    assert {name: licence for name, licence in licences.items() if notices.gpl_only(licence)} == {}


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("MIT AND GPL-2.0-only", True),
        ("GPL-2.0-only OR GPL-3.0-only", True),
        ("LGPL-3.0-only OR GPL-2.0-only OR GPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("MIT", False),
    ],
)
def test_the_gpl_is_told_from_the_lgpl(licence, expected):
    assert notices.gpl_only(licence) is expected
