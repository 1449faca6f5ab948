"""`overread nodes`: the receivers in the settings, and whether they answer."""

from __future__ import annotations

import argparse
import time
from typing import Any

from overread.commands.answers import emit, say
from overread.commands.engine import liked
from overread.domain.errors import UserError
from overread.network.nodes import Node, node_named
from overread.network.sender import echo


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("what", nargs="?", choices=("list", "echo"), default="list", help="list them, or ask one")
    parser.add_argument("name", nargs="?", default="", help="echo: which receiver; all without a name")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """List the receivers, or ask them. Status 3 where one that was asked does not answer."""
    nodes = liked().nodes
    if arguments.name:
        nodes = (node_named(nodes, arguments.name),)
    answers = [_asked(node) if arguments.what == "echo" else _told(node) for node in nodes]
    if arguments.json:
        emit({"nodes": answers})
    elif not answers:
        say("There are no receivers: add one in the settings, or a table [nodes.NAME] to settings.toml.")
    else:
        for node, answer in zip(nodes, answers, strict=True):
            said = f": answers in {answer['ms']} ms" if answer.get("answers") else f": {answer.get('error')}"
            say(f"{node.whither}{said if 'answers' in answer else ''}")
    return 3 if any(answer.get("answers") is False for answer in answers) else 0


def _told(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "kind": node.kind,
        "address": node.address,
        "encrypted": node.encrypted,
        "commitment": bool(node.commit_port),
        "profile": node.profile,
    }


def _asked(node: Node) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        echo(node)
    except UserError as error:
        return {**_told(node), "answers": False, "ms": None, "error": str(error)}
    return {**_told(node), "answers": True, "ms": round((time.monotonic() - begun) * 1000), "error": ""}
