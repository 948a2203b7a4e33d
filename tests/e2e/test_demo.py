# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of the demo, in a real browser: `./run demo` first."""

from __future__ import annotations

import typing as t
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

SITE = "https://localhost:8443"
OUTPUT = Path(__file__).resolve().parents[1] / "output"

# Chromium as a guest of a test: no sandbox for root, and no traffic of its own.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page() -> t.Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        # The CA is this machine's own; tests/integration verifies the chain.
        context = browser.new_context(ignore_https_errors=True, viewport={"width": 1100, "height": 860})
        yield context.new_page()
        browser.close()


def test_an_item_is_added_sorted_by_the_worker_and_still_there_after_a_reload(page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(SITE)
    expect(page.get_by_test_id("connection")).to_have_text("Live", timeout=10_000)

    name = f"Milk {uuid.uuid4().hex[:6]}"
    page.get_by_test_id("item-name").fill(name)
    page.get_by_test_id("item-add").click()
    row = page.get_by_test_id("item").filter(has_text=name)
    expect(row).to_be_visible()
    # The worker answers through PostgreSQL, Redis and the WebSocket; the page is not touched meanwhile.
    expect(row.get_by_test_id("item-aisle")).to_have_text("Dairy & eggs", timeout=15_000)

    page.reload()
    expect(page.get_by_test_id("item").filter(has_text=name)).to_be_visible()
    assert errors == []
    OUTPUT.mkdir(exist_ok=True)
    page.screenshot(path=OUTPUT / "demo.png")


def test_two_browsers_see_each_others_changes_live(page: Page) -> None:
    other = page.context.new_page()
    for view in (page, other):
        view.goto(SITE)
        expect(view.get_by_test_id("connection")).to_have_text("Live", timeout=10_000)
    name = f"Apples {uuid.uuid4().hex[:6]}"
    page.get_by_test_id("item-name").fill(name)
    page.get_by_test_id("item-add").click()
    expect(other.get_by_test_id("item").filter(has_text=name)).to_be_visible(timeout=10_000)
