// SPDX-License-Identifier: GPL-3.0-or-later
import { expect, test } from "vitest";
import { retryDelay } from "./liveConnection.ts";

test("the delay doubles up to a limit", () => {
  const delays = [0, 1, 2, 3, 10, 2000].map((attempt) => retryDelay(attempt, () => 1));
  expect(delays).toEqual([500, 1000, 2000, 4000, 10_000, 10_000]);
});

test("the jitter takes away half of it at most", () => {
  expect(retryDelay(0, () => 0)).toBe(250);
});
