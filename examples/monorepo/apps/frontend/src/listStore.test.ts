// SPDX-License-Identifier: GPL-3.0-or-later
import { beforeEach, expect, test, vi } from "vitest";
import { ApiError, type Item, type ListApi } from "./api.ts";
import { ListStore } from "./listStore.ts";
import { anItem } from "./testing.ts";

/** A server that can be told to fail, or to answer later. */
class FakeApi implements ListApi {
  items: Item[] = [];
  failure: ApiError | null = null;
  gate: Promise<void> = Promise.resolve();

  async list(): Promise<Item[]> {
    const items = this.items.map((item) => ({ ...item }));
    await this.#answer();
    return items;
  }

  async add(name: string, quantity: number): Promise<Item> {
    await this.#answer();
    const item = anItem({ id: this.items.length + 1, name, quantity });
    this.items.push(item);
    return item;
  }

  async change(id: number, change: Partial<Item>): Promise<Item> {
    await this.#answer();
    this.items = this.items.map((item) => (item.id === id ? { ...item, ...change } : item));
    return anItem({ id, ...change });
  }

  async remove(id: number): Promise<void> {
    await this.#answer();
    this.items = this.items.filter((item) => item.id !== id);
  }

  async clearTicked(): Promise<void> {
    await this.#answer();
    this.items = this.items.filter((item) => !item.ticked);
  }

  async #answer(): Promise<void> {
    await this.gate;
    if (this.failure) {
      throw this.failure;
    }
  }
}

let api: FakeApi;
let store: ListStore;

beforeEach(() => {
  api = new FakeApi();
  store = new ListStore(api);
});

function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

test("the list is loaded", async () => {
  api.items = [anItem()];
  expect(store.snapshot().status).toBe("loading");
  await store.refresh();
  expect(store.snapshot()).toEqual({ status: "ready", items: [anItem()], error: null });
});

test("a failed load can be repeated", async () => {
  api.failure = new ApiError("The server did not answer.");
  await store.refresh();
  expect(store.snapshot()).toMatchObject({ status: "failed", error: api.failure.message });
  api.failure = null;
  await store.retry();
  expect(store.snapshot()).toMatchObject({ status: "ready", error: null });
});

test("a failed refresh keeps the list that is shown", async () => {
  api.items = [anItem()];
  await store.refresh();
  api.failure = new ApiError("gone");
  await store.refresh();
  expect(store.snapshot()).toMatchObject({ status: "ready", error: null, items: [anItem()] });
});

test("an added item is shown", async () => {
  await store.refresh();
  expect(await store.add("Milk", 2)).toBe(true);
  expect(store.snapshot().items).toMatchObject([{ name: "Milk", quantity: 2 }]);
});

test("a tick is shown before the server confirms it", async () => {
  api.items = [anItem()];
  await store.refresh();
  const ticking = store.tick(anItem(), true);
  expect(store.snapshot().items[0]?.ticked).toBe(true);
  await ticking;
  await settled();
  expect(store.snapshot().items[0]?.ticked).toBe(true);
});

test.each([
  ["tick", () => store.tick(anItem(), true)],
  ["quantity", () => store.setQuantity(anItem(), 5)],
  ["removal", () => store.remove(anItem())],
])("a refused %s is undone and explained", async (_, change) => {
  api.items = [anItem()];
  await store.refresh();
  api.failure = new ApiError("No.");
  expect(await change()).toBe(false);
  expect(store.snapshot()).toMatchObject({ items: [anItem()], error: "No." });
});

test("an answer that predates a change is fetched again", async () => {
  api.items = [anItem()];
  await store.refresh();
  let answer = () => {};
  api.gate = new Promise((resolve) => {
    answer = resolve;
  });
  const refreshing = store.refresh();
  api.gate = Promise.resolve();
  await store.remove(anItem());
  answer();
  await refreshing;
  expect(store.snapshot().items).toEqual([]);
  await settled();
  expect(store.snapshot().items).toEqual([]);
});

test("requests to refresh are combined", async () => {
  const list = vi.spyOn(api, "list");
  await Promise.all([store.refresh(), store.refresh(), store.refresh()]);
  await settled();
  expect(list).toHaveBeenCalledTimes(2);
});
