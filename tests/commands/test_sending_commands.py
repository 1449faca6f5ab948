"""`overread export --send`, `overread outbox`, `overread nodes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom.uid import ComprehensiveSRStorage, MRImageStorage, SegmentationStorage

from overread import paths
from support.scp import receiver
from support.servers import free_port

TAKES = [MRImageStorage, SegmentationStorage, ComprehensiveSRStorage, "1.2.840.10008.5.1.4.1.1.88.34"]


def settle(port: int, **more: object) -> None:
    """Settings with one receiver."""
    facts = {"host": "127.0.0.1", "port": port, "ae_title": "RECEIVER", "timeout_s": 5, **more}
    lines = [f"{key} = {value!r}" for key, value in facts.items()]
    paths.config().mkdir(parents=True, exist_ok=True)
    (paths.config() / "settings.toml").write_text("\n".join(["[nodes.PACS]", *lines]), "utf-8")


def test_without_receivers_it_says_how_to_name_one(overread: Callable[..., Any], tmp_path: Path) -> None:
    assert "[nodes.NAME]" in overread("nodes").out
    assert overread("nodes", "--json").json == {"nodes": []}
    assert overread("outbox").out == "The outbox is empty.\n"
    assert not (paths.data() / "outbox").exists()
    said = overread("export", "--test-packet", tmp_path / "packet", "--send", "PACS")
    assert (said.status, "no receiver named PACS" in said.err) == (3, True)
    assert not (tmp_path / "packet").exists()


def test_receivers_are_asked(overread: Callable[..., Any]) -> None:
    with receiver(TAKES) as own:
        settle(own.port)
        assert overread("nodes").out == f"PACS (RECEIVER@127.0.0.1:{own.port})\n"
        said = overread("nodes", "echo", "PACS", "--json")
        assert (said.status, said.json["nodes"][0]["answers"]) == (0, True)
        assert "answers in" in overread("nodes", "echo").out
    said = overread("nodes", "echo", "PACS")
    assert (said.status, "Nobody answers" in said.out) == (3, True)


def test_what_is_exported_is_sent(overread: Callable[..., Any], drawn: Path, tmp_path: Path) -> None:
    with receiver(TAKES) as own:
        settle(own.port)
        said = overread("export", drawn, "--out", tmp_path / "out", "--only", "seg,sr", "--send", "PACS", "--json")
    assert (said.status, said.json["packet"]["state"]) == (0, "sent")
    assert [str(got.SOPInstanceUID) for got in own.got] == [item["sop_instance_uid"] for item in said.json["files"]]
    assert "send: Segmentation, Comprehensive SR to PACS" in overread("audit", drawn).out


def test_what_a_receiver_opens_is_what_it_is_sent(overread: Callable[..., Any], drawn: Path, tmp_path: Path) -> None:
    settle(free_port(), profile="pacs-basic")
    said = overread("export", drawn, "--out", tmp_path / "named", "--send", "PACS", "--json")
    kinds = {Path(item["path"]).name.split("_")[0] for item in said.json["files"]}
    assert (said.status, kinds) == (0, {"SR", "KO", "SC"})
    for number, words in enumerate((("--profile", "standard"), ("--only", "seg,sr"))):
        said = overread("export", drawn, "--out", tmp_path / f"{number}", *words, "--send", "PACS", "--json")
        kinds = {Path(item["path"]).name.split("_")[0] for item in said.json["files"]}
        assert (said.status, kinds) == (0, {"SEG", "SR"}), "what is asked for wins"
    settle(free_port(), profile="thaetre")
    said = overread("export", drawn, "--out", tmp_path / "odd", "--send", "PACS")
    assert (said.status, "PACS is said to open thaetre" in said.err) == (3, True)
    assert not (tmp_path / "odd").exists()


def test_the_outbox_is_worked_by_hand(overread: Callable[..., Any], drawn: Path, tmp_path: Path) -> None:
    settle(free_port())
    said = overread("export", drawn, "--out", tmp_path / "out", "--only", "seg", "--send", "PACS")
    assert said.status == 0
    assert "PACS: Segmentation: waiting, next try in" in said.out
    (packet,) = overread("outbox", "list", "--json").json["packets"]
    assert (packet["state"], packet["attempts"], packet["objects"][0]["fate"]) == ("waiting", 1, "waiting")
    assert "Nobody answers" in packet["reason"]
    assert overread("outbox", "send").status == 0  # its time has not come
    with receiver(TAKES) as own:
        own.say = lambda dataset: 0xC001
        settle(own.port)
        said = overread("outbox", "retry", packet["id"][:8])
        assert (said.status, "failed. Segmentation: Refused" in said.out) == (3, True)
        own.say = lambda dataset: 0x0000
        said = overread("outbox", "retry", packet["id"][:8], "--json")
        assert (said.status, said.json["packets"][0]["state"]) == (0, "sent")
    assert overread("outbox", "remove").status == 2
    assert overread("outbox", "remove", packet["id"]).out == "The outbox is empty.\n"
    assert overread("outbox", "remove", packet["id"]).status == 3
