// SPDX-License-Identifier: GPL-3.0-or-later
import { ApiError, type Item, type ListApi } from "./api.ts";

export interface ListState {
  status: "loading" | "ready" | "failed";
  items: readonly Item[];
  error: string | null;
}

type Edit = (items: readonly Item[]) => readonly Item[];

/**
 * The list as this browser shows it.
 *
 * Changes are shown at once and confirmed by the server afterwards. What was fetched while a
 * change was on its way may predate it, so such an answer is dropped and fetched again.
 */
export class ListStore {
  readonly #api: ListApi;
  readonly #listeners = new Set<() => void>();
  #state: ListState = { status: "loading", items: [], error: null };
  #pending = 0;
  #changes = 0;
  #fetching = false;
  #stale = false;

  constructor(api: ListApi) {
    this.#api = api;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  snapshot = (): ListState => this.#state;

  refresh = async (): Promise<void> => {
    if (this.#fetching || this.#pending > 0) {
      this.#stale = true;
      return;
    }
    this.#fetching = true;
    this.#stale = false;
    const changes = this.#changes;
    try {
      const items = await this.#api.list();
      if (changes === this.#changes) {
        this.#update({ status: "ready", items });
      } else {
        this.#stale = true;
      }
    } catch (error) {
      // With a list on the screen the connection state says enough.
      if (this.#state.status !== "ready") {
        this.#update({ status: "failed", error: messageOf(error) });
      }
    } finally {
      this.#fetching = false;
    }
    this.#catchUp();
  };

  retry = (): Promise<void> => {
    this.#update({ status: "loading", error: null });
    return this.refresh();
  };

  dismissError = (): void => this.#update({ error: null });

  /** Resolves to whether the item was added. */
  add = (name: string, quantity: number): Promise<boolean> =>
    this.#change(keep, keep, async () => {
      const item = await this.#api.add(name, quantity);
      return (items) => [...items.filter(({ id }) => id !== item.id), item];
    });

  tick = (item: Item, ticked: boolean): Promise<boolean> =>
    this.#change(patch(item.id, { ticked }), patch(item.id, { ticked: item.ticked }), async () => {
      await this.#api.change(item.id, { ticked });
      return keep;
    });

  setQuantity = (item: Item, quantity: number): Promise<boolean> =>
    this.#change(
      patch(item.id, { quantity }),
      patch(item.id, { quantity: item.quantity }),
      async () => {
        await this.#api.change(item.id, { quantity });
        return keep;
      },
    );

  remove = (item: Item): Promise<boolean> =>
    this.#change(
      (items) => items.filter(({ id }) => id !== item.id),
      (items) => [...items, item],
      async () => {
        await this.#api.remove(item.id);
        return keep;
      },
    );

  clearTicked = (): Promise<boolean> => {
    const ticked = this.#state.items.filter((item) => item.ticked);
    return this.#change(
      (items) => items.filter((item) => !item.ticked),
      (items) => [...items, ...ticked],
      async () => {
        await this.#api.clearTicked();
        return keep;
      },
    );
  };

  async #change(apply: Edit, undo: Edit, request: () => Promise<Edit>): Promise<boolean> {
    this.#pending += 1;
    this.#changes += 1;
    this.#update({ items: apply(this.#state.items), error: null });
    try {
      const confirm = await request();
      this.#update({ items: confirm(this.#state.items) });
      return true;
    } catch (error) {
      this.#update({ items: undo(this.#state.items), error: messageOf(error) });
      return false;
    } finally {
      this.#pending -= 1;
      this.#stale = true;
      this.#catchUp();
    }
  }

  #catchUp(): void {
    if (this.#stale && !this.#fetching && this.#pending === 0) {
      void this.refresh();
    }
  }

  #update(change: Partial<ListState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

const keep: Edit = (items) => items;

function patch(id: number, change: Partial<Item>): Edit {
  return (items) => items.map((item) => (item.id === id ? { ...item, ...change } : item));
}

function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : "Something went wrong.";
}
