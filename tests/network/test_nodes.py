"""Receivers as the settings mean them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overread.domain.errors import UserError
from overread.network.nodes import Node, node_named
from overread.session import settings


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({}, "host"),
        ({"kind": "ftp"}, "kind"),
        ({"host": "h", "port": 0}, "port"),
        ({"host": "h", "ae_title": "SEVENTEEN LETTERS"}, "AE title"),
        ({"host": "h", "ae_title": "A\\B"}, "AE title"),
        ({"host": "h", "calling": "  "}, "AE title"),
        ({"host": "h", "token_env": "T"}, "tokens"),
        ({"host": "h", "ca": "x.pem"}, "encryption"),
        ({"host": "h", "tls": True, "cert": "x.pem"}, "go together"),
        ({"host": "h", "timeout_s": 0.1}, "timeout_s"),
        ({"kind": "dicomweb", "url": "ftp://h/"}, "url"),
        ({"kind": "dicomweb", "url": "http://h/", "token_env": "T"}, "https"),
        ({"kind": "dicomweb", "url": "https://h/", "token_env": "T", "token_file": "f"}, "both"),
        ({"kind": "dicomweb", "url": "https://h/", "commit_port": 11112}, "commitment"),
    ],
)
def test_what_makes_no_sense_is_said(facts: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Node("X", **facts)


def test_where_it_goes_is_said_in_words() -> None:
    assert Node("PACS", host="pacs.example", ae_title="ARC").whither == "PACS (ARC@pacs.example:104, unencrypted)"
    assert Node("PACS", host="pacs.example", tls=True).whither == "PACS (ANY-SCP@pacs.example:104)"
    web = Node("WEB", kind="dicomweb", url="https://web.example/rs", token_env="T")
    assert web.whither == "WEB (https://web.example/rs)"
    assert web.machine == "web.example"
    assert Node("ME", host="127.0.0.1").whither.endswith("104)")


def test_a_name_that_is_none_lists_those_there_are() -> None:
    nodes = (Node("A", host="h"), Node("B", host="h"))
    assert node_named(nodes, "B") is nodes[1]
    with pytest.raises(UserError, match="There are: A, B"):
        node_named(nodes, "C")
    with pytest.raises(UserError, match=r"nodes\.NAME"):
        node_named((), "C")


TABLE = """schema_version = 1
[nodes.PACS]
host = "pacs.example"
ae_title = "ARC"
timeout_s = 5
colour = "of a later version"
[nodes.WEB]
kind = "dicomweb"
url = "https://web.example/rs"
token_file = "~/token"
"""


def test_settings_hold_nodes_and_saving_leaves_them_alone(tmp_path: Path) -> None:
    path, told = tmp_path / "settings.toml", []
    path.write_text(TABLE)
    found = settings.load(path, told.append)
    assert [node.name for node in found.nodes] == ["PACS", "WEB"]
    assert (found.nodes[0].ae_title, found.nodes[0].timeout_s, found.nodes[1].token_file) == ("ARC", 5.0, "~/token")
    path.write_text(TABLE.replace("pacs.example", "other.example"))  # by hand, while the program runs
    settings.save(path, found.opened("/study"), found)
    assert not told
    assert 'host = "other.example"' in path.read_text()
    assert "/study" in path.read_text()


@pytest.mark.parametrize("wrong", ["nodes = 3", "[nodes]\nPACS = 3", "[nodes.PACS]\nport = true\nhost = 'h'"])
def test_settings_that_make_no_sense_are_named(tmp_path: Path, wrong: str) -> None:
    path, told = tmp_path / "settings.toml", []
    path.write_text(wrong)
    assert settings.load(path, told.append).nodes == ()
    assert "nodes" in str(told[0])
