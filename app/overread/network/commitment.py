"""Storage commitment, push model: a receiver promises to keep what it stored (PS3.4 annex J).

We ask with N-ACTION; the answer is an N-EVENT-REPORT, on the same association or on one that the receiver opens to us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from overread.domain.ports import Cancel
from overread.network.dimse import associated
from overread.network.nodes import Node
from overread.network.packets import Item, Never, NotNow

# The one instance that every receiver has (PS3.4 J.3.5), and the one action: request storage commitment.
INSTANCE, REQUEST = "1.2.840.10008.1.20.1.1", 1
# Failure reasons (PS3.3 C.14.1.1) after which the object is to be sent again.
AGAIN = {0x0110: "it could not process it", 0x0112: "it does not have it", 0x0213: "it is short of resources"}


@dataclass(frozen=True)
class Report:
    """What a receiver says of a request for commitment: what it keeps, and what not, with its reason's number."""

    transaction: str
    committed: tuple[str, ...]
    failed: tuple[tuple[str, int], ...]


def _report(event: evt.Event) -> Report | None:
    """The report in an N-EVENT-REPORT; None where it is of another kind."""
    if event.event_type not in (1, 2):
        return None
    said: Dataset = event.event_information
    kept = (str(item.ReferencedSOPInstanceUID) for item in said.get("ReferencedSOPSequence") or ())
    lost = (
        (str(item.ReferencedSOPInstanceUID), int(item.get("FailureReason") or 0x0110))
        for item in said.get("FailedSOPSequence") or ()
    )
    return Report(str(said.TransactionUID), tuple(kept), tuple(lost))


def _answering(heard: Callable[[Report], None]) -> Callable[[evt.Event], tuple[int, Dataset | None]]:
    def answer(event: evt.Event) -> tuple[int, Dataset | None]:
        try:
            report = _report(event)
        except (AttributeError, ValueError, TypeError):
            return 0x0115, None  # invalid argument value
        if report is None:
            return 0x0113, None  # no such event type
        heard(report)
        return 0x0000, None

    return answer


def ask(
    node: Node,
    items: Sequence[Item],
    transaction: str,
    heard: Callable[[Report], None],
    wait: Callable[[], None],
    cancel: Cancel,
) -> None:
    """Ask a node to commit to objects; `heard` gets a report that comes before `wait` is over, which is called once.

    The association stays open meanwhile, for receivers that answer on it. NotNow or Never where it cannot be asked.
    """
    wanted = Dataset()
    wanted.TransactionUID = transaction
    wanted.ReferencedSOPSequence = []
    for item in items:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = item.sop_class_uid, item.sop_instance_uid
        wanted.ReferencedSOPSequence.append(reference)
    context = build_context(StorageCommitmentPushModel)
    handlers = [(evt.EVT_N_EVENT_REPORT, _answering(heard))]
    with associated(node, [context], cancel, handlers=handlers) as association:
        if not association.is_established:
            raise Never("It commits to nothing: it does not offer storage commitment.")
        status, _ = association.send_n_action(wanted, REQUEST, StorageCommitmentPushModel, INSTANCE)
        if "Status" not in status:
            raise NotNow("It did not answer the request for storage commitment.")
        if status.Status not in (0x0000, 0x0131):
            raise NotNow(f"It refused the request for storage commitment (0x{status.Status:04X}).")
        wait()


class Listener:
    """Hears, at a port of this machine, what receivers report; on threads of its own until it is closed. NotNow."""

    def __init__(self, port: int, title: str, heard: Callable[[Report], None]) -> None:
        entity = AE(ae_title=title)
        entity.add_supported_context(Verification)
        # The one who reports opens the association and is the SCP nevertheless; not every one negotiates the role.
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, _answering(heard))]
        try:
            server = entity.start_server(("", port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise NotNow(f"Port {port}, at which the receiver would report, is taken on this machine.") from error
        assert server is not None  # it does not block
        self._server: ThreadedAssociationServer = server
        self._entity = entity

    def close(self) -> None:
        """Hear no more."""
        self._server.shutdown()
        self._server.server_close()
        self._entity.shutdown()
