// SPDX-License-Identifier: GPL-3.0-or-later
import { expect, test } from "vitest";
import { describeFailure } from "./api.ts";

test.each([
  [503, { detail: "the queue is not available" }, "The queue is not available."],
  [422, { detail: [{ msg: "must not be empty" }] }, "Must not be empty."],
  [502, null, "The server failed with status 502."],
  [500, { detail: [] }, "The server failed with status 500."],
])("status %i is explained", (status, body, message) => {
  expect(describeFailure(status, body)).toBe(message);
});
