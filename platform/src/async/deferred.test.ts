import assert from "node:assert/strict";
import { test } from "node:test";
import { createDeferred } from "./deferred.ts";

test("a deferred settles once, with what came first", async () => {
  const deferred = createDeferred<number>();
  deferred.resolve(1);
  deferred.reject(new Error("late"));
  assert.equal(await deferred.promise, 1);
});
