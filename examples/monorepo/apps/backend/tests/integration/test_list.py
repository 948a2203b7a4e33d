# SPDX-License-Identifier: GPL-3.0-or-later
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

from app import api, tasks
from app.store import client as redis_client


def add(client: TestClient, name: str, quantity: int = 1) -> dict[str, Any]:
    response = client.post("/items", json={"name": name, "quantity": quantity})
    assert response.status_code == 201, response.text
    item: dict[str, Any] = response.json()
    return item


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def connect(client: TestClient) -> WebSocketTestSession:
    # The feed subscribes in the background.
    eventually(lambda: bool(redis_client.pubsub_numsub("trolley:changes")[0][1]))
    time.sleep(0.1)
    return client.websocket_connect("/ws")


def test_an_item_lives_and_dies(client: TestClient) -> None:
    item = add(client, "  Crème fraîche ", 2)
    assert (item["name"], item["quantity"], item["ticked"]) == ("Crème fraîche", 2, False)
    assert item["aisle"] is None
    assert item["added_by"] == client.get("/me").json()["name"]

    url = f"/items/{item['id']}"
    assert client.patch(url, json={"ticked": True, "quantity": 3}).json()["ticked"] is True
    assert client.get("/items").json()[0]["quantity"] == 3
    assert client.delete(url).status_code == 204
    assert client.get("/items").json() == []
    assert client.delete(url).status_code == 404
    assert client.patch(url, json={"ticked": True}).status_code == 404


def test_the_list_is_cached_until_it_changes(client: TestClient) -> None:
    add(client, "milk")
    assert client.get("/items").headers["x-cache"] == "miss"
    assert client.get("/items").headers["x-cache"] == "hit"
    add(client, "bread")
    response = client.get("/items")
    assert response.headers["x-cache"] == "miss"
    assert [item["name"] for item in response.json()] == ["milk", "bread"]


@pytest.mark.usefixtures("worker")
def test_the_worker_finds_the_aisle(client: TestClient) -> None:
    add(client, "Cheddar")
    eventually(lambda: client.get("/items").json()[0]["aisle"] is not None)
    assert client.get("/items").json()[0]["aisle"]["slug"] == "dairy"
    assert client.get("/summary").json() == {
        "total": 1,
        "open": 1,
        "ticked": 0,
        "unsorted": 0,
        "aisles": [{"slug": "dairy", "name": "Dairy & eggs", "open": 1, "ticked": 0}],
    }


def test_sorting_may_be_repeated_and_may_come_too_late(client: TestClient) -> None:
    item = add(client, "Leek")
    tasks.sort_item(item["id"])
    tasks.sort_item(item["id"])
    assert client.get("/items").json()[0]["aisle"]["slug"] == "produce"
    client.delete(f"/items/{item['id']}")
    tasks.sort_item(item["id"])
    assert client.get("/items").json() == []


@pytest.mark.usefixtures("worker")
def test_leftovers_are_sorted(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as lost:
        lost.setattr(tasks.sort_item, "delay", lambda item_id: None)
        add(client, "Gouda")
    tasks.sort_leftovers.delay()
    eventually(lambda: client.get("/items").json()[0]["aisle"] is not None)


def test_changes_are_pushed(client: TestClient) -> None:
    with connect(client) as socket:
        item = add(client, "milk")
        assert socket.receive_json() == {"type": "item.added", "item_id": item["id"]}
        tasks.sort_item(item["id"])
        assert socket.receive_json() == {"type": "item.sorted", "item_id": item["id"]}
        client.patch(f"/items/{item['id']}", json={"ticked": True})
        assert socket.receive_json() == {"type": "item.changed", "item_id": item["id"]}
        client.delete("/items/ticked")
        assert socket.receive_json() == {"type": "list.cleared", "item_id": None}


def test_clearing_keeps_what_is_still_to_buy(client: TestClient) -> None:
    done = add(client, "milk")
    add(client, "bread")
    client.patch(f"/items/{done['id']}", json={"ticked": True})
    assert client.delete("/items/ticked").status_code == 204
    assert [item["name"] for item in client.get("/items").json()] == ["bread"]


def test_a_full_list_takes_no_more(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_ITEMS", 1)
    add(client, "milk")
    assert client.post("/items", json={"name": "bread"}).status_code == 409


def test_a_lost_queue_adds_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with tasks.celery_app.connection_for_write("redis://127.0.0.1:9/0") as nowhere:
        monkeypatch.setattr(
            tasks.sort_item,
            "delay",
            lambda item_id: tasks.sort_item.apply_async((item_id,), connection=nowhere),
        )
        response = client.post("/items", json={"name": "milk"})
    assert response.status_code == 503
    assert "queue" in response.json()["detail"]
    assert client.get("/items").json() == []


@pytest.mark.parametrize("query", ["choc", "CHOC", "chocolat", "choclate"])
def test_earlier_names_are_suggested(client: TestClient, query: str) -> None:
    tasks.sort_item(add(client, "Dark chocolate")["id"])
    tasks.sort_item(add(client, "Chocolate")["id"])
    assert "Chocolate" in client.get("/suggestions", params={"q": query}).json()


@pytest.mark.parametrize("query", ["%", "_", "\x00", "'", "\\"])
def test_suggestions_take_any_text(client: TestClient, query: str) -> None:
    assert client.get("/suggestions", params={"q": query}).status_code == 200


def test_everything_is_ready(client: TestClient) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "database": "ok", "redis": "ok"}
