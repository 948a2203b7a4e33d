# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from pydantic import ValidationError

from app.schemas import ItemCreate, ItemUpdate


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("  oat \t milk ", "oat milk"),
        ("Cre\u0300me", "Crème"),
        ("日本酒", "日本酒"),
        ("🥑", "🥑"),
        ("👩‍🍳 kit", "👩‍🍳 kit"),
        ("7 up", "7 up"),
        ("x" * 80, "x" * 80),
    ],
)
def test_names_are_normalised(given: str, stored: str) -> None:
    assert ItemCreate(name=given).name == stored


@pytest.mark.parametrize(
    "name",
    ["", "   ", "x" * 81, "x" * 10_000, "nul\x00byte", "esc\x1b[31m", "\u200b", "...", "\ud800"],
)
def test_unusable_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ItemCreate(name=name)


@pytest.mark.parametrize("quantity", [0, -1, 1000, 2.5, "2", True, None])
def test_unusable_quantities_are_refused(quantity: object) -> None:
    with pytest.raises(ValidationError):
        ItemCreate.model_validate({"name": "milk", "quantity": quantity})


@pytest.mark.parametrize("quantity", [1, 999])
def test_quantities_in_range(quantity: int) -> None:
    assert ItemCreate(name="milk", quantity=quantity).quantity == quantity


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        ItemUpdate.model_validate({"tikced": True})
