"""Which products leave: by profile, by name, in the order of the registry."""

from __future__ import annotations

import pytest

from overread.domain.errors import UserError
from overread.session.products import PRODUCTS
from overread.session.profiles import chosen, profiles

OWN = {"theatre": ("sr", "seg"), "odd": ("hologram",), "none": ()}


def names(*given: object, **more: object) -> list[str]:
    return [product.name for product in chosen(OWN, *given, **more)]  # type: ignore[arg-type]


def test_products_have_names_of_their_own() -> None:
    assert len({product.name for product in PRODUCTS}) == len(PRODUCTS)
    assert all(product.name == product.name.lower() and product.title for product in PRODUCTS)


@pytest.mark.parametrize("name", profiles({}))
def test_built_in_profiles_name_products_that_there_are(name: str) -> None:
    assert {product.name for product in chosen({}, name)} == set(profiles({})[name])


def test_without_a_word_segmentation_and_report_leave() -> None:
    assert names() == ["seg", "sr"]


def test_a_profile_and_only_are_taken_together() -> None:
    assert names("theatre") == ["seg", "sr"], "the order is the registry's"
    assert names("theatre", ["sr"]) == ["sr"]
    assert names("", ["sr"]) == ["sr"]


def test_what_is_unknown_is_said_with_what_there_is() -> None:
    for wrong, said in (("thaetre", "theatre"), ("odd", "seg")):
        with pytest.raises(UserError, match=said):
            names(wrong)
    with pytest.raises(UserError, match=r"Nothing can be exported as holo.*There are: seg, "):
        names("", ["seg", "holo"])
    with pytest.raises(UserError, match="has: nothing"):
        names("none")


def test_the_readers_profile_wins_over_a_built_in_one() -> None:
    assert [product.name for product in chosen({"standard": ("sr",)})] == ["sr"]
