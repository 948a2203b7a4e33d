// SPDX-License-Identifier: GPL-3.0-or-later
import type { Section } from "../sections.ts";
import { TrolleyIcon } from "./icons.tsx";

interface Props {
  live: boolean;
  shopper: string | null;
  sections: Section[];
}

export function Header({ live, shopper, sections }: Props) {
  const total = sections.reduce((sum, section) => sum + section.items.length, 0);
  const open = sections.reduce((sum, section) => sum + section.open, 0);
  return (
    <header className="header">
      <div className="page">
        <div className="header-top">
          <TrolleyIcon />
          <h1>Trolley</h1>
          <span className="shopper">{shopper !== null && `You are ${shopper}`}</span>
          <span className="connection" data-live={live} data-testid="connection" role="status">
            {live ? "Live" : "Offline"}
          </span>
        </div>
        {total > 0 && (
          <>
            <div className="progress">
              <progress max={total} value={total - open} aria-label="Items in the trolley" />
              <span>{open === 0 ? "All done" : `${open} to get, ${total - open} done`}</span>
            </div>
            <nav className="aisles" aria-label="Aisles">
              {sections.map((section) => (
                <AisleCount key={section.aisle?.slug ?? ""} section={section} />
              ))}
            </nav>
          </>
        )}
      </div>
    </header>
  );
}

function AisleCount({ section: { aisle, open } }: { section: Section }) {
  return (
    <a className="aisle-count" href={`#aisle-${aisle?.slug ?? "unsorted"}`} data-aisle={aisle?.slug}>
      {aisle?.name ?? "Sorting…"} <b aria-label={`${open} to get`}>{open}</b>
    </a>
  );
}
