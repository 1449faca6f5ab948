"""Receivers: who they are, and how they are reached. Values of the settings' table `[nodes]`, one table a node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from overread.domain.errors import UserError

# "dimse" is C-STORE over an association (PS3.7, PS3.8), "dicomweb" STOW-RS (PS3.18).
KINDS = ("dimse", "dicomweb")
_URL = re.compile(r"https?://(?P<host>[^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/\S*)?")
# An application entity's title: up to 16 characters without backslash and control characters (PS3.5 6.2, AE).
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]", "::1")


class NodeError(ValueError):
    """What makes no sense about a node; `field` is the one to put right."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class Node:
    """A receiver. NodeError where the fields make no sense together.

    A "dimse" node has `host`, `port`, its `ae_title`, and the one we call ourselves, `calling`. Where it commits to
    what it stored, `commit_port` is the port of this machine at which it tells so; 0 asks for no commitment. A
    "dicomweb" node has the `url` of its service, and its token stands in `token_file` or in the environment variable
    `token_env`. `ca`, `cert` and `key` are PEM files: whom to trust, and who we are. `timeout_s` is for each answer.
    `profile` names what it opens, "" where nobody said.
    """

    name: str
    kind: str = "dimse"
    host: str = ""
    port: int = 104
    ae_title: str = "ANY-SCP"
    calling: str = "OVERREAD"
    tls: bool = False
    commit_port: int = 0
    url: str = ""
    token_file: str = ""
    token_env: str = ""
    token_header: str = "authorization"
    ca: str = ""
    cert: str = ""
    key: str = ""
    timeout_s: float = 30.0
    profile: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise NodeError("name", "a receiver has no name")
        if self.kind not in KINDS:
            raise NodeError("kind", f"“kind” of {self.name} is one of {', '.join(KINDS)}")
        if self.kind == "dimse":
            self._check_dimse()
        else:
            self._check_web()
        if bool(self.cert) != bool(self.key):
            raise NodeError("key" if self.cert else "cert", f"“cert” and “key” of {self.name} go together")
        if (self.ca or self.cert) and not self.encrypted:
            field = "ca" if self.ca else "cert"
            raise NodeError(field, f"certificates of {self.name} mean nothing without encryption")
        if not 1 <= self.timeout_s <= 3600:
            raise NodeError("timeout_s", f"“timeout_s” of {self.name} is not between 1 and 3600")

    def _check_dimse(self) -> None:
        if not self.host or self.url or re.search(r"[\s/\\]", self.host):
            raise NodeError("host", f"{self.name} needs the name of a machine as “host”, or “kind” dicomweb and “url”")
        for field, least in (("port", 1), ("commit_port", 0)):
            if not least <= getattr(self, field) <= 65535:
                raise NodeError(field, f"a port of {self.name} is not between 1 and 65535")
        for field in ("ae_title", "calling"):
            title = getattr(self, field)
            if not _TITLE.fullmatch(title) or not title.strip():
                raise NodeError(field, f"an AE title of {self.name} is not 1 to 16 plain characters")
        if self.token_file or self.token_env:
            raise NodeError("token_file", f"{self.name}: tokens are for “kind” dicomweb")

    def _check_web(self) -> None:
        if _URL.fullmatch(self.url) is None:
            raise NodeError("url", f"“url” of {self.name} is https://HOST[:PORT]/PATH")
        if self.commit_port:
            raise NodeError("commit_port", f"{self.name}: storage commitment is for “kind” dimse")
        if self.token_file and self.token_env:
            raise NodeError("token_env", f"“token_file” and “token_env” of {self.name} are both given")
        if (self.token_file or self.token_env) and not (self.encrypted or self.here):
            raise NodeError("url", f"the token of {self.name} goes to another machine with https:// alone")

    @property
    def encrypted(self) -> bool:
        """Whether what goes there is encrypted on its way."""
        return self.tls if self.kind == "dimse" else self.url.startswith("https://")

    @property
    def machine(self) -> str:
        """The receiver's machine, as readers see it."""
        found = _URL.fullmatch(self.url)
        return found["host"] if found else self.host

    @property
    def here(self) -> bool:
        """Whether it runs on this very machine."""
        return self.machine in _THIS_MACHINE

    @property
    def address(self) -> str:
        """Where it is, in one word: AE@HOST:PORT, or the URL."""
        return self.url or f"{self.ae_title}@{self.host}:{self.port}"

    @property
    def whither(self) -> str:
        """Where objects go and how, in words for the reader."""
        return f"{self.name} ({self.address}{'' if self.encrypted or self.here else ', unencrypted'})"


_MEANT: dict[str, Any] = {"port": int, "commit_port": int, "tls": bool, "timeout_s": (int, float)}


def nodes_of(table: Mapping[str, Any]) -> tuple[Node, ...]:
    """What the settings' table `[nodes]` means; keys that it does not know it leaves. TypeError, ValueError."""
    found = []
    for name, entry in table.items():
        if not isinstance(entry, dict):
            raise TypeError(f"“{name}” is no table")
        known: dict[str, Any] = {}
        for field in fields(Node):
            if field.name == "name" or field.name not in entry:
                continue
            value, meant = entry[field.name], _MEANT.get(field.name, str)
            if not isinstance(value, meant) or (isinstance(value, bool) and meant is not bool):
                raise TypeError(f"“{field.name}” of {name} is of the wrong kind")
            known[field.name] = float(value) if field.name == "timeout_s" else value
        found.append(Node(name, **known))
    return tuple(found)


def node_table(node: Node) -> dict[str, Any]:
    """The table that means a node: its kind, and what is not as it is by default."""
    held = {item.name: getattr(node, item.name) for item in fields(Node) if item.name != "name"}
    default = {item.name: item.default for item in fields(Node)}
    return {name: value for name, value in held.items() if name == "kind" or value != default[name]}


def node_named(nodes: tuple[Node, ...], name: str) -> Node:
    """The node of that name. UserError where there is none."""
    for node in nodes:
        if node.name == name:
            return node
    there = ", ".join(node.name for node in nodes)
    raise UserError(
        f"There is no receiver named {name}.",
        f"There are: {there}." if there else "Add one in the settings, or a table [nodes.NAME] to settings.toml.",
    )
