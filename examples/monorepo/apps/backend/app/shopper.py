# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives every browser a friendly name, kept in a signed cookie.

There are no accounts. The signature keeps anybody from posing as somebody else, and any
replica of the API accepts what another one issued.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated

from fastapi import Depends, Request, Response

from app.settings import WebSettings, load_settings

COOKIE = "shopper"
_YEAR = 365 * 24 * 3600
_KEY = load_settings(WebSettings).secret_key.get_secret_value().encode()

_ADJECTIVES = (
    *("Brisk", "Calm", "Clever", "Eager", "Gentle", "Happy", "Jolly", "Kind"),
    *("Lively", "Lucky", "Merry", "Patient", "Proud", "Quick", "Quiet", "Sunny"),
)
_ANIMALS = (
    *("Badger", "Beaver", "Falcon", "Ferret", "Finch", "Fox", "Hare", "Heron"),
    *("Lynx", "Magpie", "Marten", "Otter", "Owl", "Robin", "Squirrel", "Wren"),
)


def _sign(token: str, key: bytes) -> str:
    return hmac.new(key, token.encode(), hashlib.sha256).hexdigest()


def issue(key: bytes = _KEY) -> str:
    token = secrets.token_hex(8)
    return f"{token}.{_sign(token, key)}"


def verify(cookie: str, key: bytes = _KEY) -> str | None:
    """Return the token of a cookie, or None when it was not issued with this key."""
    token, _dot, signature = cookie.partition(".")
    expected = _sign(token, key)
    # As bytes: compare_digest refuses text beyond ASCII, and a cookie may hold anything.
    return token if hmac.compare_digest(signature.encode(), expected.encode()) else None


def name_of(token: str) -> str:
    first, second = hashlib.sha256(token.encode()).digest()[:2]
    return f"{_ADJECTIVES[first % len(_ADJECTIVES)]} {_ANIMALS[second % len(_ANIMALS)]}"


def _current(request: Request, response: Response) -> str:
    cookie = request.cookies.get(COOKIE, "")
    token = verify(cookie)
    if token is None:
        cookie = issue()
        token = cookie.partition(".")[0]
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=_YEAR,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return name_of(token)


ShopperName = Annotated[str, Depends(_current)]
