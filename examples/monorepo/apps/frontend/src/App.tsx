// SPDX-License-Identifier: GPL-3.0-or-later
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { fetchShopper, fetchVersion, liveUrl, listApi, type Version } from "./api.ts";
import { ErrorNotice } from "./components/ErrorNotice.tsx";
import { Header } from "./components/Header.tsx";
import { ItemForm } from "./components/ItemForm.tsx";
import { ItemList } from "./components/ItemList.tsx";
import { connectLive } from "./liveConnection.ts";
import { ListStore } from "./listStore.ts";
import { sectionsOf } from "./sections.ts";

const store = new ListStore(listApi);

export function App() {
  const { status, items, error } = useSyncExternalStore(store.subscribe, store.snapshot);
  const live = useLive();
  const shopper = useFetched(fetchShopper)?.name ?? null;
  const version = useFetched(fetchVersion);
  const listHeading = useRef<HTMLHeadingElement>(null);
  const sections = sectionsOf(items);

  return (
    <>
      <Header live={live} shopper={shopper} sections={sections} />
      <main className="page">
        <ItemForm onAdd={store.add} />
        {error !== null && (
          <ErrorNotice
            message={error}
            action={
              status === "failed"
                ? { label: "Try again", run: () => void store.retry() }
                : { label: "Dismiss", run: store.dismissError }
            }
          />
        )}
        <h2 className="visually-hidden" ref={listHeading} tabIndex={-1}>
          Shopping list
        </h2>
        <ItemList
          loading={status === "loading"}
          empty={status === "ready" && items.length === 0}
          sections={sections}
          onTick={store.tick}
          onQuantity={store.setQuantity}
          onRemove={(item) => {
            // The button that has the focus is about to vanish.
            listHeading.current?.focus();
            void store.remove(item);
          }}
          onClearTicked={() => {
            listHeading.current?.focus();
            void store.clearTicked();
          }}
        />
      </main>
      <Footer version={version} />
    </>
  );
}

function Footer({ version }: { version: Version | null }) {
  return (
    <footer className="footer page">
      {version !== null && (
        <>
          Trolley {version.version} · answered by {version.hostname}
        </>
      )}
    </footer>
  );
}

function useLive(): boolean {
  const [live, setLive] = useState(false);
  useEffect(() => {
    void store.refresh();
    return connectLive(liveUrl(), { onChange: () => void store.refresh(), onState: setLive });
  }, []);
  return live;
}

/** For what is nice to know: nothing is shown when it cannot be fetched. */
function useFetched<T>(fetchValue: () => Promise<T>): T | null {
  const [value, setValue] = useState<T | null>(null);
  useEffect(() => {
    let current = true;
    fetchValue().then(
      (fetched) => current && setValue(() => fetched),
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [fetchValue]);
  return value;
}
