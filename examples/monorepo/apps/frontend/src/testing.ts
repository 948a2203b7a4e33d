// SPDX-License-Identifier: GPL-3.0-or-later
import type { Aisle, Item } from "./api.ts";

export const PRODUCE: Aisle = { slug: "produce", name: "Fruit & veg", position: 1 };
export const DAIRY: Aisle = { slug: "dairy", name: "Dairy & eggs", position: 3 };

export function anItem(given: Partial<Item> = {}): Item {
  return {
    id: 1,
    name: "Milk",
    quantity: 1,
    ticked: false,
    added_by: "Quick Otter",
    created_at: "2026-01-01T12:00:00Z",
    aisle: null,
    ...given,
  };
}
