# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of the shopping list."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response, status
from kombu.exceptions import OperationalError as BrokerError
from pydantic import TypeAdapter
from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from app import tasks
from app.db import SessionDep
from app.models import NAME_LENGTH, Aisle, Item, Product
from app.schemas import AisleCount, ItemCreate, ItemOut, ItemUpdate, ShopperOut, Summary
from app.shopper import ShopperName
from app.store import Change, announce, cached

logger = logging.getLogger(__name__)
router = APIRouter()

MAX_ITEMS = 500
MAX_SUGGESTIONS = 6
# PostgreSQL's default, 0.6, is too strict for a slip within a single word.
_SIMILARITY_SETTING = "pg_trgm.word_similarity_threshold"
_SIMILARITY = "0.4"

ItemId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_items = TypeAdapter(list[ItemOut])


@router.get("/items", response_model=list[ItemOut])
def list_items(session: SessionDep) -> Response:
    """The whole list, oldest first. The header X-Cache tells whether Redis had it."""

    def read() -> bytes:
        rows = session.scalars(select(Item).order_by(Item.id)).all()
        return _items.dump_json(_items.validate_python(rows, from_attributes=True))

    body, hit = cached("items", read)
    headers = {"X-Cache": "hit" if hit else "miss", "Cache-Control": "no-store"}
    return Response(body, media_type="application/json", headers=headers)


@router.post("/items", status_code=status.HTTP_201_CREATED)
def add_item(new: ItemCreate, session: SessionDep, shopper: ShopperName) -> ItemOut:
    """Add an item; the worker finds its aisle."""
    count = session.scalar(select(func.count()).select_from(Item)) or 0
    if count >= MAX_ITEMS:
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"the list is full ({MAX_ITEMS} items): clear ticked ones"
        )
    item = Item(name=new.name, quantity=new.quantity, added_by=shopper)
    session.add(item)
    # The worker may be faster than we are, so the row has to be visible before it is queued.
    session.commit()
    try:
        tasks.sort_item.delay(item.id)
    except BrokerError as error:
        session.delete(item)
        session.commit()
        logger.warning("item not added, the queue is not available: %s", error)
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE, "the queue is not available: nothing was added"
        ) from error
    announce(Change(type="item.added", item_id=item.id))
    return ItemOut.model_validate(item)


@router.patch("/items/{item_id}")
def change_item(item_id: ItemId, change: ItemUpdate, session: SessionDep) -> ItemOut:
    """Tick an item, or change how many to buy."""
    item = _get(session, item_id)
    for field, value in change.model_dump(exclude_none=True).items():
        setattr(item, field, value)
    session.commit()
    announce(Change(type="item.changed", item_id=item.id))
    return ItemOut.model_validate(item)


@router.delete("/items/ticked", status_code=status.HTTP_204_NO_CONTENT)
def clear_ticked(session: SessionDep) -> None:
    """Remove everything that is in the trolley already."""
    session.execute(delete(Item).where(Item.ticked))
    session.commit()
    announce(Change(type="list.cleared"))


@router.delete("/items/{item_id}", status_code=status.HTTP_204_NO_CONTENT)
def remove_item(item_id: ItemId, session: SessionDep) -> None:
    session.delete(_get(session, item_id))
    session.commit()
    announce(Change(type="item.removed", item_id=item_id))


@router.get("/summary")
def summarise(session: SessionDep) -> Summary:
    """How much is left to buy, by aisle."""
    ticked = func.count().filter(Item.ticked)
    rows = session.execute(
        select(Aisle.slug, Aisle.name, func.count(), ticked)
        .select_from(Item)
        .outerjoin(Aisle)
        .group_by(Aisle.id)
        .order_by(Aisle.position)
    ).all()
    total = sum(count for _slug, _name, count, _done in rows)
    total_ticked = sum(done for _slug, _name, _count, done in rows)
    return Summary(
        total=total,
        open=total - total_ticked,
        ticked=total_ticked,
        unsorted=sum(count for slug, _name, count, _done in rows if slug is None),
        aisles=[
            AisleCount(slug=slug, name=name, open=count - done, ticked=done)
            for slug, name, count, done in rows
            if slug is not None
        ],
    )


@router.get("/suggestions")
def suggest(
    session: SessionDep, q: Annotated[str, Query(min_length=1, max_length=NAME_LENGTH)]
) -> list[str]:
    """Names used before that start like the query or resemble it ("tomatos")."""
    query = q.replace("\x00", "").strip()
    session.execute(select(func.set_config(_SIMILARITY_SETTING, _SIMILARITY, True)))
    prefixed = Product.name.istartswith(query, autoescape=True)
    names = session.scalars(
        select(Product.name)
        .where(or_(prefixed, Product.name.op("%>")(query)))
        .order_by(prefixed.desc(), func.word_similarity(query, Product.name).desc(), Product.name)
        .limit(MAX_SUGGESTIONS)
    )
    return list(names)


@router.get("/me")
def who_am_i(shopper: ShopperName, response: Response) -> ShopperOut:
    response.headers["Cache-Control"] = "no-store"
    return ShopperOut(name=shopper)


def _get(session: Session, item_id: int) -> Item:
    item = session.get(Item, item_id)
    if item is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "the item is not on the list any more")
    return item
