"""What models propose and objects say, put to what is there already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from overread.domain.finding import Finding, Findings
from overread.domain.uids import uid_of


def merged(findings: Findings, proposals: Iterable[Finding], model_id: str, stack_uid: str) -> Findings:
    """The findings after a model read a stack.

    Proposals of an earlier run of the model that nobody touched give way; what a person made or judged stays, and so
    does what was read from an object. A proposal whose id is already there changes nothing: the same model reading the
    same voxels again is no news.
    """
    proposals = tuple(proposals)
    again = {proposal.id for proposal in proposals}
    kept = tuple(
        finding
        for finding in findings
        if finding.touched
        or finding.source is not None
        or finding.stack_uid != stack_uid
        or finding.model is None
        or finding.model.id != model_id
        or finding.id in again
    )
    return _with_fresh(kept, proposals, stack_uid)


def joined(findings: Findings, read: Iterable[Finding], stack_uid: str) -> Findings:
    """The findings after others' objects on a stack were read: ids already there change nothing, nothing gives way.

    What is there under the same id on another stack is another finding: the new one gets an id of its own, which
    follows from the id and the stack.
    """
    elsewhere = {finding.id for finding in findings if finding.stack_uid != stack_uid}
    own = (replace(f, id=uid_of(f.id, stack_uid)) if f.id in elsewhere else f for f in read)
    return _with_fresh(findings, own, stack_uid)


def _with_fresh(findings: Findings, fresh: Iterable[Finding], stack_uid: str) -> Findings:
    """The findings and those that are new among `fresh`, numbered on from what the stack has."""
    known = {finding.id for finding in findings}
    new: list[Finding] = []
    number = max((finding.number for finding in findings if finding.stack_uid == stack_uid), default=0)
    for finding in fresh:
        if finding.id not in known:
            number += 1
            known.add(finding.id)
            new.append(replace(finding, number=number))
    return (*findings, *new)
