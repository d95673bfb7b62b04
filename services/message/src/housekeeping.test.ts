import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createManualClock } from "@parley/platform/clock";
import { repeat } from "./housekeeping.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("repeat", () => {
  it("runs again and again, also after a failure, never twice at once", async () => {
    const clock = createManualClock();
    const failures: unknown[] = [];
    const log = { error: (...line: unknown[]) => void failures.push(line) };
    let runs = 0;
    let end: (() => void) | undefined;
    const work = repeat({ clock, intervalMs: 10, log, name: "test" }, async () => {
      runs++;
      if (runs === 1) throw new Error("once");
      await new Promise<void>((resolve) => {
        end = resolve;
      });
    });
    clock.advance(10);
    await turn();
    assert.deepEqual([runs, failures.length], [1, 1]);
    clock.advance(10);
    await turn();
    clock.advance(100);
    await turn();
    assert.equal(runs, 2, "the second is still at work");
    let disposed = false;
    const disposing = work[Symbol.asyncDispose]().then(() => {
      disposed = true;
    });
    await turn();
    assert.equal(disposed, false, "disposing waits for it");
    end?.();
    await disposing;
    clock.advance(100);
    await turn();
    assert.equal(runs, 2);
  });
});
