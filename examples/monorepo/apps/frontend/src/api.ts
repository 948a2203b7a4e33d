// SPDX-License-Identifier: GPL-3.0-or-later
export interface Aisle {
  slug: string;
  name: string;
  position: number;
}

export interface Item {
  id: number;
  name: string;
  quantity: number;
  ticked: boolean;
  added_by: string;
  created_at: string;
  aisle: Aisle | null;
}

export interface Version {
  version: string;
  hostname: string;
}

export type ItemChange = Partial<Pick<Item, "ticked" | "quantity">>;

export interface ListApi {
  list(): Promise<Item[]>;
  add(name: string, quantity: number): Promise<Item>;
  change(id: number, change: ItemChange): Promise<Item>;
  remove(id: number): Promise<void>;
  clearTicked(): Promise<void>;
}

/** An error whose message can be shown to people. */
export class ApiError extends Error {}

const TIMEOUT_MS = 10_000;

const base = (import.meta.env.VITE_API_URL ?? "/api").replace(/\/$/, "");

export function liveUrl(): string {
  const url = new URL(`${base}/ws`, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(`${base}${path}`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: init.body ? { "Content-Type": "application/json" } : undefined,
    ...init,
  }).catch((cause: unknown) => {
    throw new ApiError("The server did not answer.", { cause });
  });
  if (!response.ok) {
    throw new ApiError(describeFailure(response.status, await response.json().catch(() => null)));
  }
  return response;
}

async function read<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await send(path, init);
  return (await response.json()) as T;
}

/** FastAPI answers `detail` as text, or as a list of validation problems. */
export function describeFailure(status: number, body: unknown): string {
  const detail = body && typeof body === "object" && "detail" in body ? body.detail : null;
  const first: unknown = Array.isArray(detail) ? detail[0]?.msg : detail;
  if (typeof first === "string" && first !== "") {
    return `${first.charAt(0).toUpperCase()}${first.slice(1)}.`;
  }
  return `The server failed with status ${status}.`;
}

export const listApi: ListApi = {
  list: () => read("/items"),
  add: (name, quantity) =>
    read("/items", { method: "POST", body: JSON.stringify({ name, quantity }) }),
  change: (id, change) =>
    read(`/items/${id}`, { method: "PATCH", body: JSON.stringify(change) }),
  remove: async (id) => {
    await send(`/items/${id}`, { method: "DELETE" });
  },
  clearTicked: async () => {
    await send("/items/ticked", { method: "DELETE" });
  },
};

export function fetchShopper(): Promise<{ name: string }> {
  return read("/me");
}

export function fetchVersion(): Promise<Version> {
  return read("/version");
}

export function fetchSuggestions(text: string, signal: AbortSignal): Promise<string[]> {
  return read(`/suggestions?q=${encodeURIComponent(text)}`, { signal });
}
