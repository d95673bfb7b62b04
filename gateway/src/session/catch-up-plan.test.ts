import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { dependsOnMode, planHead } from "./catch-up-plan.ts";

const head = fc
  .record({
    lastSeq: fc.nat(500),
    firstSeq: fc.integer({ min: 1, max: 500 }),
    positionSeq: fc.nat(600),
    messagesMax: fc.integer({ min: 1, max: 100 }),
    serverReadable: fc.boolean(),
  })
  .filter(({ firstSeq, lastSeq }) => firstSeq <= lastSeq + 1);

describe("planHead", () => {
  it("sends or names every missing entry", () => {
    fc.assert(
      fc.property(head, (given) => {
        const { afterSeq, skipped } = planHead(given);
        const missingAfter = given.positionSeq || given.firstSeq - 1;
        if (skipped === undefined) assert.equal(afterSeq, missingAfter);
        else assert.deepEqual(skipped, { firstSeq: missingAfter + 1, lastSeq: afterSeq });
      }),
    );
  });

  it("never leaves out what only the device can decrypt", () => {
    fc.assert(
      fc.property(head, (given) => {
        const { skipped } = planHead({ ...given, serverReadable: false });
        if (given.positionSeq > 0) assert.equal(skipped, undefined);
      }),
    );
  });

  it("sends at most what was asked for where it may leave something out", () => {
    fc.assert(
      fc.property(head, (given) => {
        const { afterSeq } = planHead({ ...given, serverReadable: true });
        assert.ok(given.lastSeq - afterSeq <= given.messagesMax);
      }),
    );
  });

  it("depends on the mode exactly where it says so", () => {
    fc.assert(
      fc.property(head, (given) => {
        const readable = planHead({ ...given, serverReadable: true });
        const secret = planHead({ ...given, serverReadable: false });
        assert.equal(dependsOnMode(given), readable.afterSeq !== secret.afterSeq);
      }),
    );
  });
});
