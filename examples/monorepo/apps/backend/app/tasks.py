# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: sorts items into aisles. Start it with `celery -A app.tasks worker`."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_ready
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.classification import classify
from app.db import SessionFactory
from app.models import Aisle, Item, Product
from app.store import REDIS_URL, Change, announce

celery_app = Celery("trolley", broker=REDIS_URL, backend=REDIS_URL)
celery_app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "visibility_timeout": 300,
    },
    # A request waits for the broker while it publishes: give up soon.
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_soft_time_limit=20,
    task_time_limit=30,
    worker_prefetch_multiplier=1,
    # Without its connection a task cannot be acknowledged and comes again: do not finish it twice.
    worker_cancel_long_running_tasks_on_connection_loss=True,
    result_expires=3600,
)

_WHEN_DATABASE_RETURNS: dict[str, Any] = {
    "autoretry_for": (OperationalError,),
    "retry_backoff": True,
    "retry_backoff_max": 30,
    "max_retries": None,
    # The result is the row: nobody asks Redis for it.
    "ignore_result": True,
}


@celery_app.task(**_WHEN_DATABASE_RETURNS)
def sort_item(item_id: int) -> None:
    """Store the aisle of one item. Safe to repeat, and harmless once the item is gone."""
    with SessionFactory.begin() as session:
        if not _sort(session, item_id):
            return
    announce(Change(type="item.sorted", item_id=item_id))


@celery_app.task(**_WHEN_DATABASE_RETURNS)
def sort_leftovers() -> None:
    """Sort what was added while the queue was lost, e.g. by a Redis that keeps no data."""
    with SessionFactory() as session:
        item_ids = session.scalars(select(Item.id).where(Item.aisle_id.is_(None))).all()
    for item_id in item_ids:
        sort_item.delay(item_id)


def _sort(session: Session, item_id: int) -> bool:
    name = session.scalar(select(Item.name).where(Item.id == item_id))
    if name is None:
        return False
    aisle = select(Aisle.id).where(Aisle.slug == classify(name)).scalar_subquery()
    session.execute(update(Item).where(Item.id == item_id).values(aisle_id=aisle))
    session.execute(insert(Product).values(name=name).on_conflict_do_nothing())
    return True


@worker_ready.connect
def _sort_leftovers_at_start(**_: Any) -> None:
    sort_leftovers.delay()
