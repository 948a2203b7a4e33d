// SPDX-License-Identifier: GPL-3.0-or-later
import type { Aisle, Item } from "./api.ts";

export interface Section {
  /** Null while the worker has not sorted these items. */
  aisle: Aisle | null;
  items: Item[];
  open: number;
}

/** Groups items by aisle in walking order; what is still to be sorted comes first. */
export function sectionsOf(items: readonly Item[]): Section[] {
  const sections = new Map<string, Section>();
  for (const item of items) {
    const key = item.aisle?.slug ?? "";
    const section = sections.get(key) ?? { aisle: item.aisle, items: [], open: 0 };
    section.items.push(item);
    section.open += item.ticked ? 0 : 1;
    sections.set(key, section);
  }
  for (const section of sections.values()) {
    section.items.sort((a, b) => Number(a.ticked) - Number(b.ticked) || a.id - b.id);
  }
  return [...sections.values()].sort((a, b) => positionOf(a) - positionOf(b));
}

function positionOf(section: Section): number {
  return section.aisle?.position ?? -1;
}
