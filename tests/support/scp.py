"""A small receiver of our own that refuses, aborts and answers as a test wants it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from overread.network.nodes import Node
from support.servers import free_port


@dataclass
class Receiver:
    """What it got, and what it says: a status, or "abort"."""

    port: int
    say: Callable[[Dataset], int | str] = lambda dataset: 0x0000
    got: list[Dataset] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)

    def node(self, **changes: Any) -> Node:
        facts: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "ae_title": "RECEIVER", "timeout_s": 5.0}
        return Node("OWN", **{**facts, **changes})


@contextmanager
def receiver(
    takes: Sequence[str],
    say: Callable[[Dataset], int | str] = lambda dataset: 0x0000,
    *,
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    limits: Mapping[str, Any] | None = None,
    commits: Callable[[Dataset], Dataset] | None = None,
    title: str = "RECEIVER",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Receiver]:
    """One that takes these SOP classes; `limits` are attributes of its AE.

    `commits` makes the report for a request, which is sent on the same association.
    """
    own = Receiver(port or free_port(), say)

    def stored(event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        said = own.say(dataset)
        if said == "abort":
            event.assoc.abort()
            return 0x0000
        own.got.append(dataset)
        assert isinstance(said, int)
        return said

    def asked(event: evt.Event) -> tuple[int, None]:
        own.asked.append(event.action_information)
        return 0x0000, None

    def reported(event: evt.Event) -> None:
        """Once the request is answered, report on the association that it came on."""
        if commits is not None and own.asked and type(event.message).__name__ == "N_ACTION_RSP":
            said = commits(own.asked[-1])
            kind = 2 if "FailedSOPSequence" in said else 1
            event.assoc.send_n_event_report(said, kind, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")

    entity = AE(ae_title=title)
    for name, value in (limits or {}).items():
        setattr(entity, name, value)
    entity.add_supported_context(Verification)
    for uid in takes:
        entity.add_supported_context(uid, list(syntaxes))
    handlers: list[Any] = [(evt.EVT_C_STORE, stored), (evt.EVT_N_ACTION, asked)]
    if commits is not None:
        entity.add_supported_context(StorageCommitmentPushModel)
        handlers.append((evt.EVT_DIMSE_SENT, reported))
    server = entity.start_server(("127.0.0.1", own.port), block=False, evt_handlers=handlers, ssl_context=tls)
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        entity.shutdown()
