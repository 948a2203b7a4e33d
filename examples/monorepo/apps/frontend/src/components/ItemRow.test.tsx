// SPDX-License-Identifier: GPL-3.0-or-later
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { anItem, DAIRY } from "../testing.ts";
import { ItemRow } from "./ItemRow.tsx";

const ignore = () => undefined;

function render(item = anItem()): string {
  return renderToStaticMarkup(
    <ul>
      <ItemRow item={item} onTick={ignore} onQuantity={ignore} onRemove={ignore} />
    </ul>,
  );
}

test("an item without aisle is being sorted", () => {
  expect(render()).toContain("sorting…");
});

test("a sorted item shows its aisle", () => {
  const html = render(anItem({ aisle: DAIRY }));
  expect(html).toContain("Dairy &amp; eggs");
  expect(html).not.toContain("sorting…");
});

test("names are text, whatever they contain", () => {
  expect(render(anItem({ name: "<b>bread</b>" }))).toContain("&lt;b&gt;bread");
});

test("no inline styles, which the Content-Security-Policy refuses", () => {
  expect(render()).not.toContain("style=");
});
