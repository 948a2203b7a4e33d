// SPDX-License-Identifier: GPL-3.0-or-later
import type { Item } from "../api.ts";
import type { Section } from "../sections.ts";
import { TrolleyIcon } from "./icons.tsx";
import { ItemRow, type ItemActions } from "./ItemRow.tsx";

interface Props extends ItemActions {
  loading: boolean;
  empty: boolean;
  sections: Section[];
  onClearTicked: () => void;
}

export function ItemList({ loading, empty, sections, onClearTicked, ...actions }: Props) {
  if (loading) {
    return <Placeholder />;
  }
  if (empty) {
    return <EmptyList />;
  }
  const ticked = sections.reduce((sum, { items, open }) => sum + items.length - open, 0);
  return (
    <>
      {sections.map((section) => (
        <AisleSection key={section.aisle?.slug ?? ""} section={section} {...actions} />
      ))}
      {ticked > 0 && (
        <button type="button" className="button-quiet clear" onClick={onClearTicked}>
          Clear {ticked} done
        </button>
      )}
    </>
  );
}

function AisleSection({ section, ...actions }: { section: Section } & ItemActions) {
  const { aisle, items } = section;
  const id = `aisle-${aisle?.slug ?? "unsorted"}`;
  return (
    <section className="aisle" aria-labelledby={id} data-aisle={aisle?.slug}>
      <h3 id={id}>{aisle?.name ?? "Being sorted"}</h3>
      <ul>
        {items.map((item: Item) => (
          <ItemRow key={item.id} item={item} {...actions} />
        ))}
      </ul>
    </section>
  );
}

function Placeholder() {
  return (
    <div className="placeholder" role="status" aria-label="Loading the list">
      <span />
      <span />
      <span />
    </div>
  );
}

function EmptyList() {
  return (
    <div className="empty" data-testid="empty">
      <TrolleyIcon />
      <p>The trolley is empty.</p>
      <p>Add what you need. Everybody with this page open sees it at once.</p>
    </div>
  );
}
