"""Settings: nothing in the file can keep the program from starting, and nothing in it gets lost."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from overread import paths
from overread.domain.errors import UserError
from overread.infer.backends.remote import Remote
from overread.network.nodes import Node
from overread.session.settings import SCHEMA_VERSION, Settings, load, save
from support.sitting import Sitting

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
many = st.lists(texts, max_size=4).map(tuple)
made = st.builds(
    Settings,
    reader=texts,
    models_on=many,
    opacity=st.floats(0, 1),
    brush_mm=st.floats(0.5, 200),
    export_folder=texts,
    recent=many,
    keys=st.dictionaries(texts, texts, max_size=3),
    profiles=st.dictionaries(texts, many, max_size=3),
    export_profile=texts,
    remote=st.sampled_from([Remote(), Remote("grpcs://ai.example.org:8001", "hybrid", 250.0, token_env="TOKEN")]),
    nodes=st.lists(
        st.builds(
            Node,
            texts.filter(lambda name: bool(name.strip())),
            host=st.sampled_from(["pacs", "10.0.0.5"]),
            port=st.integers(1, 65535),
            timeout_s=st.integers(1, 3600).map(float),
            profile=texts,
        ),
        max_size=3,
        unique_by=lambda node: node.name,
    ).map(tuple),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(), texts, st.dates()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = [item.name for item in fields(Settings)]


def read(path: Path) -> tuple[Settings, list[UserError]]:
    told: list[UserError] = []
    return load(path, told.append), told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.toml"


@given(made, st.dictionaries(texts.filter(lambda name: name not in names), values, max_size=3))
def test_settings_come_back_and_what_is_unknown_stays(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings, unknown: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_text(tomlkit.dumps(unknown), "utf-8")
    before = tomllib.loads(path.read_text("utf-8"))
    save(path, settings)
    assert read(path) == (settings, [])
    after = tomllib.loads(path.read_text("utf-8"))
    assert {key: repr(value) for key, value in after.items() if key in before} == {
        key: repr(value) for key, value in before.items()
    }
    written = path.read_text("utf-8")
    save(path, settings)
    assert path.read_text("utf-8") == written


@given(made, made, made)
def test_what_two_windows_change_is_all_there_afterwards(
    tmp_path_factory: pytest.TempPathFactory, first: Settings, second: Settings, third: Settings
) -> None:
    """One changes what it likes, the other its receivers and profiles, which the first has never heard of."""
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    save(path, first)
    there, _ = read(path)
    save(path, replace(there, nodes=second.nodes, profiles=second.profiles), there)
    save(path, replace(there, reader=third.reader, recent=third.recent), there)
    wanted = replace(there, nodes=second.nodes, profiles=second.profiles, reader=third.reader, recent=third.recent)
    found, told = read(path)
    assert told == []
    assert {node.name: node for node in found.nodes} == {node.name: node for node in wanted.nodes}
    assert replace(found, nodes=()) == replace(wanted, nodes=())


def test_a_file_that_makes_no_sense_beside_it_is_not_written(path: Path) -> None:
    path.parent.mkdir()
    for content, said in (('[nodes.A]\nport = "x"\n', "nodes"), ("reader = ", "damaged"), ("keys = 3\n[", "damaged")):
        path.write_text(content, "utf-8")
        with pytest.raises(UserError, match=said):
            save(path, Settings(nodes=(Node("B", host="h"),)), Settings())
        assert path.read_text("utf-8") == content


@given(st.dictionaries(st.sampled_from(names), values, min_size=1))
def test_values_that_make_no_sense_take_the_default_and_stay_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_text(tomlkit.dumps(table), "utf-8")
    before = tomllib.loads(path.read_text("utf-8"))
    settings, told = read(path)
    assert read_as_meant(settings)
    wrong = [name for name in names if name in table and not told_as_is(settings, name, table[name])]
    assert len(told) == bool(wrong)
    assert all(name in error.title for name in wrong for error in told)
    assert all(getattr(settings, name) == getattr(Settings(), name) for name in wrong)
    save(path, settings)
    after = tomllib.loads(path.read_text("utf-8"))
    assert {name: repr(after[name]) for name in table} == {name: repr(value) for name, value in before.items()}


def read_as_meant(settings: Settings) -> bool:
    lists = (*settings.models_on, *settings.recent, *settings.keys, *settings.keys.values())
    return (
        all(isinstance(text, str) for text in (settings.reader, settings.export_folder, *lists))
        and 0 <= settings.opacity <= 1
        and 0.5 <= settings.brush_mm <= 200
        and all(isinstance(value, tuple) for value in (settings.models_on, settings.recent))
    )


def told_as_is(settings: Settings, name: str, value: Any) -> bool:
    held = getattr(settings, name)
    if name == "profiles":
        return bool({key: list(products) for key, products in held.items()} == value)
    if name == "remote":
        with suppress(ValueError, TypeError):
            return isinstance(value, dict) and held == Remote.of(value)
        return False
    if name == "nodes":  # what a node may be, its own tests say; no table of random words is one
        return value == {}
    return type(value) in (int, float, str, list, dict) and held == (tuple(value) if isinstance(value, list) else value)


@given(st.binary(max_size=60))
def test_no_file_keeps_the_program_from_starting_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_bytes(content)
    settings, told = read(path)
    kept = path.with_suffix(".damaged.toml")
    assert kept.exists() == any("damaged" in error.title for error in told)
    assert not kept.exists() or kept.read_bytes() == content
    with suppress(ValueError):
        tomllib.loads(content.decode())
        assert not kept.exists(), "what is TOML is never put aside"
    save(path, replace(settings, reader="Somebody else"))
    assert read(path)[0].reader == "Somebody else"


def test_the_number_of_a_newer_version_and_comments_stay(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('# mine\nschema_version = 7\nreader = "Doe" # me\n[future]\nx = 1\n', "utf-8")
    settings, told = read(path)
    assert (settings.reader, told) == ("Doe", [])
    save(path, replace(settings, opacity=0.5))
    text = path.read_text("utf-8")
    assert tomllib.loads(text) == {"schema_version": 7, "reader": "Doe", "future": {"x": 1}, "opacity": 0.5}
    assert "# mine" in text
    assert "# me" in text


def test_a_new_file_says_its_version(path: Path) -> None:
    save(path, Settings(reader="Doe"))
    assert tomllib.loads(path.read_text("utf-8"))["schema_version"] == SCHEMA_VERSION
    assert [file.name for file in path.parent.iterdir()] == ["settings.toml"]


def test_notepad_puts_a_mark_before_the_text(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'\xef\xbb\xbfreader = "Doe"\r\n')
    assert read(path)[0].reader == "Doe"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be saved"):
        save(tmp_path / "config" / "settings.toml", Settings(reader="Doe"))


def test_something_else_in_the_files_place(path: Path) -> None:
    path.mkdir(parents=True)
    settings, told = read(path)
    assert settings == Settings()
    assert "cannot be read" in str(told[0])


def test_a_folder_whose_name_is_no_text_is_not_remembered(path: Path) -> None:
    odd = os.fsdecode(b"/data/M\xfcller")
    settings = Settings(recent=("/data/a",)).opened(odd)
    assert settings.recent == ("/data/a",)
    assert settings.opened("/data/Müller").recent == ("/data/Müller", "/data/a")
    with pytest.raises(UserError):
        save(path, replace(settings, export_folder=odd))
    assert not path.exists()


def test_what_was_opened_last_comes_first_and_once() -> None:
    settings = Settings()
    for number in [*range(10), 5]:
        settings = settings.opened(f"/study/{number}")
    assert settings.recent == tuple(f"/study/{number}" for number in (5, 9, 8, 7, 6, 4, 3, 2))


@pytest.mark.parametrize(
    ("content", "said"),
    [("reader = 12\nopacity = 3", "reader, opacity"), ("reader = ", "damaged"), ('keys = "none"', "keys")],
)
def test_the_session_starts_and_says_what_is_wrong(sit: Callable[..., Sitting], content: str, said: str) -> None:
    paths.config().mkdir(parents=True)
    (paths.config() / "settings.toml").write_text(content, "utf-8")
    sitting = sit()
    assert [said in str(error) for error in sitting.errors] == [True]
    assert sitting.session.reader.name
    assert sitting.session.view.opacity == Settings().opacity


def test_the_server_has_a_table_of_its_own_and_what_is_unknown_in_it_stays(path: Path) -> None:
    path.parent.mkdir()
    url = "grpcs://ai.example.org:8001"
    path.write_text(f'[remote]\nurl = "{url}" # ours\npolicy = "hybrid"\ncolour = "blue"\n', "utf-8")
    settings, told = read(path)
    assert (settings.remote, told) == (Remote(url, "hybrid"), [])
    save(path, replace(settings, remote=replace(settings.remote, policy="remote")))
    text = path.read_text("utf-8")
    assert tomllib.loads(text)["remote"] == {"url": url, "policy": "remote", "colour": "blue"}
    assert "# ours" in text


def test_a_server_that_makes_no_sense_is_not_asked_and_the_reason_said(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('[remote]\nurl = "ai.example.org"\npolicy = "remote"\n', "utf-8")
    settings, (told,) = read(path)
    assert settings.remote == Remote()
    assert "remote (“url” is grpcs://HOST:PORT) makes no sense" in told.title
