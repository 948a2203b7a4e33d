# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from app.shopper import issue, name_of, verify

KEY = b"0123456789abcdef"


def test_an_issued_cookie_is_recognised() -> None:
    cookie = issue(KEY)
    assert verify(cookie, KEY) == cookie.partition(".")[0]


@pytest.mark.parametrize("cookie", ["", ".", "abc", "abc.", "abc.def", "é.ü", issue(b"other key")])
def test_a_forged_cookie_is_not(cookie: str) -> None:
    assert verify(cookie, KEY) is None


def test_a_name_stays_the_same() -> None:
    assert name_of("token") == name_of("token")
    assert len(name_of("token").split()) == 2
