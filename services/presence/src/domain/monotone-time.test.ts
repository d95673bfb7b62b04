import assert from "node:assert/strict";
import { test } from "node:test";
import { createMonotoneTime } from "./monotone-time.ts";

test("time goes on with the clock, and stands still when it is set back", () => {
  const time = createMonotoneTime();
  const readings = [1000, 1500, 400, 700, 2000].map((clockMs) => time.at(clockMs));
  assert.deepEqual(readings, [0, 500, 500, 800, 2100]);
});
