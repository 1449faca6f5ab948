"""Where a finding was read: the segmentation, report or structure set that holds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectSource:
    """The object that a finding was read from, named so that a reader knows whose word it is.

    `kind` is what readers call it ("SEG"); `date` the content date as it stands in the header, YYYYMMDD. `remark` is
    a sentence on what it took to show the finding here, "" where nothing was lost or moved; `said` what the object
    says about it, name and value.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    description: str = ""
    manufacturer: str = ""
    model_name: str = ""
    date: str = ""
    remark: str = ""
    said: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The object as lists and undo steps name it: "SEG ‘Segmentation’ of QIICR"."""
        named = f"{self.kind} ‘{self.description}’" if self.description else self.kind
        return f"{named} of {self.manufacturer}" if self.manufacturer else named
