# SPDX-License-Identifier: GPL-3.0-or-later
"""The real application, with neither database nor Redis behind it."""

import pytest
from fastapi.testclient import TestClient

from app.main import app


@pytest.fixture
def client() -> TestClient:
    # Not entered as a context manager: the lifespan would look for Redis.
    return TestClient(app)


def test_health_needs_nothing(client: TestClient) -> None:
    response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readiness_names_what_failed(client: TestClient) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "failed", "redis": "failed"}


def test_a_lost_database_is_a_503(client: TestClient) -> None:
    response = client.get("/items")
    assert response.status_code == 503
    assert response.json() == {"detail": "the database is not available"}


def test_links_of_the_documentation_carry_the_prefix(client: TestClient) -> None:
    assert "/api/openapi.json" in client.get("/docs").text
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/api"}]


def test_redirects_carry_the_prefix(client: TestClient) -> None:
    response = client.get("/health/", follow_redirects=False)
    assert response.headers["location"].endswith("/api/health")


def test_a_proxy_may_leave_the_prefix_in_place(client: TestClient) -> None:
    assert client.get("/api/health").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "milk",
        '{"name": ""}',
        '{"name": "milk", "quantity": 0}',
        '{"name": "\\ud800"}',
        '{"name": "\\u0000"}',
    ],
)
def test_invalid_items_are_refused(client: TestClient, body: str) -> None:
    assert client.post("/items", content=body).status_code == 422


@pytest.mark.parametrize("item_id", ["0", "-1", "x", str(2**63)])
def test_invalid_identifiers_are_refused(client: TestClient, item_id: str) -> None:
    assert client.patch(f"/items/{item_id}", json={"ticked": True}).status_code == 422


def test_a_shopper_keeps_the_name_of_the_cookie(client: TestClient) -> None:
    first = client.get("/me")
    assert "httponly" in first.headers["set-cookie"].lower()
    second = client.get("/me")
    assert second.json() == first.json()
    assert "set-cookie" not in second.headers
