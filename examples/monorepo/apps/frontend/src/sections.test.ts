// SPDX-License-Identifier: GPL-3.0-or-later
import { expect, test } from "vitest";
import { sectionsOf } from "./sections.ts";
import { anItem, DAIRY, PRODUCE } from "./testing.ts";

test("an empty list has no sections", () => {
  expect(sectionsOf([])).toEqual([]);
});

test("aisles come in walking order, after what is still being sorted", () => {
  const items = [
    anItem({ id: 1, aisle: DAIRY }),
    anItem({ id: 2, aisle: null }),
    anItem({ id: 3, aisle: PRODUCE }),
  ];
  expect(sectionsOf(items).map(({ aisle }) => aisle?.slug)).toEqual([
    undefined,
    "produce",
    "dairy",
  ]);
});

test("what is still to get comes before what is done, and is counted", () => {
  const items = [
    anItem({ id: 1, aisle: DAIRY, ticked: true }),
    anItem({ id: 3, aisle: DAIRY }),
    anItem({ id: 2, aisle: DAIRY }),
  ];
  const [section] = sectionsOf(items);
  expect(section?.items.map(({ id }) => id)).toEqual([2, 3, 1]);
  expect(section?.open).toBe(2);
});
