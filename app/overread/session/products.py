"""What can leave: the registry of products, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Iterable

from overread.dicom.check_fractional import FRACTIONAL
from overread.dicom.check_rtstruct import RTSTRUCT
from overread.dicom.check_seg import LABELMAP, SEG
from overread.dicom.check_sr import SR
from overread.dicom.product import Product
from overread.domain.errors import UserError
from overread.session.products_documents import GSPS, KO, PDF
from overread.session.products_fused import FUSED
from overread.session.products_maps import PM
from overread.session.products_pictures import PNG, SC, SC_SERIES
from overread.session.products_research import NIFTI, NIFTI_IMAGE, NRRD, OBJ, STL
from overread.session.products_table import CSV

# A product may refer to what those before it have written.
PRODUCTS: tuple[Product, ...] = (
    SEG,
    LABELMAP,
    FRACTIONAL,
    SR,
    RTSTRUCT,
    GSPS,
    KO,
    SC,
    SC_SERIES,
    FUSED,
    PM,
    PDF,
    PNG,
    NIFTI,
    NIFTI_IMAGE,
    NRRD,
    STL,
    OBJ,
    CSV,
)


def products(names: Iterable[str]) -> tuple[Product, ...]:
    """The products of these names, in the order of the registry. UserError naming those that there are."""
    wanted = set(names)
    unknown = sorted(wanted - {product.name for product in PRODUCTS})
    if unknown:
        known = ", ".join(product.name for product in PRODUCTS)
        raise UserError(f"Nothing can be exported as {', '.join(unknown)}.", f"There are: {known}.")
    return tuple(product for product in PRODUCTS if product.name in wanted)
