"""The check before export, as the export makes it, on files that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overread.dicom.check import gate
from overread.dicom.product import Parcel, Product
from overread.dicom.source import SourceHeaders
from overread.domain.finding import Finding
from overread.session.products import products
from support.findings import READER


def pass_gate(
    paths: Sequence[Path],
    headers: SourceHeaders,
    findings: Sequence[Finding],
    names: Sequence[str] = ("seg", "sr"),
    **more: Any,
) -> None:
    """Put one file a product, in the order of the registry, to the check."""
    before: dict[str, tuple[Path, ...]] = {}
    for product, path in zip(products(names), paths, strict=True):
        gate(parcel_of(product, path.parent, headers, findings, before, **more), product, [path])
        before[product.name] = (path,)


def parcel_of(
    product: Product,
    folder: Path,
    headers: SourceHeaders,
    findings: Sequence[Finding],
    before: dict[str, tuple[Path, ...]] | None = None,
    **more: Any,
) -> Parcel:
    """What one product is made of."""
    carried = tuple(finding for finding in findings if not product.refuse(headers.stack, finding))
    return Parcel(product.name, headers, carried, READER, 1, folder, "tag", before=dict(before or {}), **more)
