import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createDispatchProgress } from "./dispatch-progress.ts";

describe("dispatch progress", () => {
  it("knows the first record that has not arrived, in whatever order they do", () => {
    const progress = createDispatchProgress();
    assert.equal(progress.lowestOpen, undefined);
    for (const offset of [3, 4, 7, 9]) progress.open(offset);
    progress.close(4);
    assert.equal(progress.lowestOpen, 3);
    progress.close(3);
    assert.equal(progress.lowestOpen, 7);
    progress.open(7);
    progress.close(9);
    assert.equal(progress.size, 1);
    progress.close(7);
    assert.equal(progress.lowestOpen, undefined);
  });
});
