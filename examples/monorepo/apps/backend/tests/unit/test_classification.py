# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from app.classification import KEYWORDS, OTHER, classify


@pytest.mark.parametrize(
    ("name", "aisle"),
    [
        ("Milk", "dairy"),
        ("bananas", "produce"),
        ("Cherry tomatoes", "produce"),
        ("potatoes", "produce"),
        ("Strawberries", "produce"),
        ("sourdough bread", "bakery"),
        ("chicken breast", "meat-fish"),
        ("dish soap", "household"),
        ("AA batteries", "household"),
        ("dry white wine", "drinks"),
    ],
)
def test_everyday_names(name: str, aisle: str) -> None:
    assert classify(name) == aisle


@pytest.mark.parametrize(
    ("name", "aisle"),
    [
        ("ice cream", "frozen"),
        ("cream", "dairy"),
        ("peanut butter", "pantry"),
        ("oat milk", "dairy"),
        ("oats", "pantry"),
        ("toilet paper, 8 rolls", "household"),
        ("spring onions", "produce"),
    ],
)
def test_the_longest_phrase_decides(name: str, aisle: str) -> None:
    assert classify(name) == aisle


@pytest.mark.parametrize(
    ("name", "aisle"),
    [("tomato soup", "pantry"), ("orange juice", "drinks"), ("chicken stock", "pantry")],
)
def test_the_head_noun_comes_last(name: str, aisle: str) -> None:
    assert classify(name) == aisle


@pytest.mark.parametrize("name", ["Crème fraîche", "Cre\u0300me frai\u0302che", "CRÈME-FRAÎCHE"])
def test_accents_case_and_punctuation_do_not_matter(name: str) -> None:
    assert classify(name) == "dairy"


@pytest.mark.parametrize("name", ["", "🎂", "トマト", "birthday present", "---", "sss"])
def test_what_nobody_knows_goes_elsewhere(name: str) -> None:
    assert classify(name) == OTHER


def test_every_keyword_finds_its_own_aisle() -> None:
    for aisle, keywords in KEYWORDS.items():
        for keyword in keywords.split(","):
            assert classify(keyword) == aisle, keyword
