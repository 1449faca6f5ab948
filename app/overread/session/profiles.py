"""What a receiver opens: named lists of products, our own and the reader's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overread.dicom.product import Product
from overread.domain.errors import UserError
from overread.network.nodes import Node
from overread.session.products import PRODUCTS, products

# What leaves when nobody says otherwise.
STANDARD = "standard"
_EVERYTHING = "everything"
# Not even everything: DCMTK 3.6.7 does not store label maps, and many archives with it; and probabilities are the
# model's word, of before the reader edited, which a viewer would draw as if it were one more accepted outline.
_BY_NAME_ALONE = ("labelmap", "fractional")
# Names of products that another version has and this one has not would be an error: keep them in step.
_BUILT_IN: dict[str, tuple[str, ...]] = {
    STANDARD: ("seg", "sr"),
    # A PACS that shows images and reports and knows nothing of segmentations.
    "pacs-basic": ("sr", "ko", "sc"),
    "pacs": ("seg", "sr", "gsps", "ko", "pdf"),
    # Navigation in theatre: what it may open, down to a series with the outlines burned in.
    "navigation": ("seg", "rtstruct", "fused", "sc-series"),
    "research": ("nifti", "nifti-image", "nrrd", "stl", "csv", "png"),
    _EVERYTHING: tuple(product.name for product in PRODUCTS if product.name not in _BY_NAME_ALONE),
}


def profiles(own: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """All profiles by name: products of each. The reader's `own`, from the table [profiles], win over built-in ones."""
    return _BUILT_IN | {name: tuple(names) for name, names in own.items()}


def of_receiver(own: Mapping[str, Sequence[str]], node: Node) -> str:
    """The profile that a receiver names, "" where it names none. UserError where there is no such profile."""
    known = profiles(own)
    if node.profile and node.profile not in known:
        said = f"{node.name} is said to open {node.profile}, and there is no such profile."
        raise UserError(said, f"There are: {', '.join(known)}.")
    return node.profile


def chosen(own: Mapping[str, Sequence[str]], profile: str = "", only: Sequence[str] = ()) -> tuple[Product, ...]:
    """The products of a profile, or `only` some of those; `only` alone says it without a profile.

    UserError naming what there is where a profile or a product is unknown, or nothing is left.
    """
    known = profiles(own)
    if profile and profile not in known:
        raise UserError(f"There is no profile {profile}.", f"There are: {', '.join(known)}.")
    wanted = known[profile or STANDARD] if profile or not only else tuple(only)
    found = products(wanted)
    if only:
        asked = products(only)
        found = tuple(product for product in found if product in asked)
    if not found:
        raise UserError(f"The profile {profile} has none of these.", f"It has: {', '.join(wanted) or 'nothing'}.")
    return found
