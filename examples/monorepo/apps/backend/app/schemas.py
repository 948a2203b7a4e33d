# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API accepts and returns."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.models import MAX_QUANTITY, NAME_LENGTH

# A decomposed name may shrink when it is normalised; anything beyond this is rejected unread.
RAW_NAME_LENGTH = NAME_LENGTH * 4


def clean_name(value: str) -> str:
    """Normalise an item's name, or raise ValueError."""
    name = " ".join(unicodedata.normalize("NFC", value).split())
    categories = {unicodedata.category(character) for character in name}
    if "Cc" in categories:
        raise ValueError("must not contain control characters")
    if not any(category[0] in "LNS" for category in categories):
        raise ValueError("must contain a letter, a digit or a symbol")
    if len(name) > NAME_LENGTH:
        raise ValueError(f"must have at most {NAME_LENGTH} characters")
    return name


ItemName = Annotated[str, Field(max_length=RAW_NAME_LENGTH), AfterValidator(clean_name)]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, strict=True)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ItemCreate(_Input):
    name: ItemName
    quantity: Quantity = 1


class ItemUpdate(_Input):
    ticked: bool | None = None
    quantity: Quantity | None = None


class _Output(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class AisleOut(_Output):
    slug: str
    name: str
    position: int


class ItemOut(_Output):
    id: int
    name: str
    quantity: int
    ticked: bool
    added_by: str
    created_at: datetime
    aisle: AisleOut | None


class AisleCount(_Output):
    slug: str
    name: str
    open: int
    ticked: int


class Summary(_Output):
    total: int
    open: int
    ticked: int
    unsorted: int
    aisles: list[AisleCount]


class ShopperOut(_Output):
    name: str


class Health(_Output):
    status: str


class Readiness(_Output):
    status: str
    database: str
    redis: str


class Version(_Output):
    version: str
    hostname: str
