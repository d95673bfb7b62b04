/**
 * Each rule that makes the state a function of the log is broken once, and the histories have to notice.
 * Without this, `history.property.test.ts` could be green because it never looks.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import fc from "fast-check";
import { nextMessageId } from "./domain/message-id.ts";
import { RULES, type Rules } from "./domain/rules.ts";
import { historyArbitrary } from "./testing/histories.ts";
import type { InstanceFault } from "./testing/history-instance.ts";
import { HistoryViolation, runChaos, runStraight } from "./testing/history-run.ts";
import { createModelWorld } from "./testing/history-world.ts";
import type { StoreFault } from "./testing/model-store.ts";

/** Histories that a fault may hide from; most are found within ten, the best hidden one within a thousand. */
const HISTORIES_MAX = 5000;
/** Always the same: a fault that is found is found every time. */
const SEED = 3;

type Mutation = {
  readonly rule: number;
  readonly name: string;
  /** The rules of an instance, by the life it leads. */
  readonly rules?: (life: number) => Partial<Rules>;
  readonly instance?: InstanceFault;
  readonly store?: StoreFault;
};

const mutations: readonly Mutation[] = [
  {
    rule: 1,
    name: "an id follows the clock back",
    rules: () => ({ nextMessageId: (position) => nextMessageId(position, 0n) }),
  },
  {
    rule: 1,
    name: "an id is made by the clock of who applies",
    rules: (life) => ({
      nextMessageId: (position, last) =>
        nextMessageId({ ...position, appendTimeMs: position.appendTimeMs + life }, last),
    }),
  },
  {
    rule: 2,
    name: "the limit is that of today's configuration",
    rules: (life) => ({ payloadBytesMax: () => 4 + (life % 3) }),
  },
  {
    rule: 3,
    name: "a record is numbered again when it comes again",
    rules: () => ({ isProcessed: () => false }),
  },
  { rule: 3, name: "the head goes before its rows", store: "head-first" },
  { rule: 3, name: "a late head replaces a newer one", store: "late-head-wins" },
  {
    rule: 4,
    name: "a record is taken for its own duplicate",
    store: "finds-later-dedupe",
    rules: () => ({
      isDuplicate: (known, position, windowMs) =>
        known.offset <= position.offset && position.appendTimeMs - known.appendTimeMs < windowMs,
    }),
  },
  {
    rule: 4,
    name: "a record is taken for a duplicate of a later one",
    store: "finds-later-dedupe",
    rules: () => ({
      isDuplicate: (known, position, windowMs) =>
        known.offset !== position.offset && position.appendTimeMs - known.appendTimeMs < windowMs,
    }),
  },
  {
    rule: 4,
    name: "the window ends by the clock of who applies",
    rules: (life) => ({
      isDuplicate: (known, position, windowMs) =>
        known.offset < position.offset &&
        position.appendTimeMs + life * 100 - known.appendTimeMs < windowMs,
    }),
  },
  { rule: 5, name: "the log forgets what is not on disk", store: "durable-too-early" },
  {
    rule: 5,
    name: "replay starts behind what was not dispatched",
    instance: "checkpoint-ignores-dispatch",
  },
  { rule: 6, name: "another log is taken for this one", store: "forgets-log" },
  { rule: 6, name: "a log that lost its end is served from", store: "forgets-end" },
  {
    rule: 7,
    name: "an owner believes that nobody else applied meanwhile",
    instance: "keeps-cache",
  },
  { rule: 8, name: "a reader goes on behind a gap", store: "reads-past-gaps" },
  {
    rule: 9,
    name: "a change is taken though one before it is missing",
    rules: () => ({
      judgeVersion: (state, version) => (version > state.membershipVersion ? "next" : "old"),
    }),
  },
  {
    rule: 9,
    name: "a change is taken again",
    rules: () => ({
      judgeVersion: (state, version) => (version <= state.membershipVersion + 1 ? "next" : "gap"),
    }),
  },
];

describe("a broken rule", () => {
  for (const mutation of mutations) {
    it(`${mutation.rule}: ${mutation.name}`, async (t) => {
      await using telemetry = silentTelemetry();
      const faults = new Set(mutation.store === undefined ? [] : [mutation.store]);
      const instanceFaults = new Set(mutation.instance === undefined ? [] : [mutation.instance]);
      const property = fc.asyncProperty(historyArbitrary, async (history) => {
        const expected = await runStraight(history, telemetry);
        await using world = createModelWorld(faults);
        await runChaos(history, world, expected, {
          telemetry,
          faults: instanceFaults,
          rulesOf: (life) => ({ ...RULES, ...mutation.rules?.(life) }),
        });
      });
      const found = await fc.check(property, {
        numRuns: HISTORIES_MAX,
        seed: SEED,
        endOnFailure: true,
      });
      assert.ok(found.failed, `${HISTORIES_MAX} histories did not notice`);
      const cause = found.errorInstance;
      assert.ok(cause instanceof HistoryViolation, `it ended otherwise: ${cause}`);
      t.diagnostic(`noticed by history ${found.numRuns}: ${cause.message}`);
    });
  }

  it("is the only thing that is noticed", async () => {
    await using telemetry = silentTelemetry();
    const property = fc.asyncProperty(historyArbitrary, async (history) => {
      const expected = await runStraight(history, telemetry);
      await using world = createModelWorld();
      await runChaos(history, world, expected, { telemetry, rulesOf: () => ({ ...RULES }) });
    });
    await fc.assert(property, { numRuns: 100 });
  });

  it("is planted for each of the nine", () => {
    const planted = new Set(mutations.map(({ rule }) => rule));
    assert.deepEqual([...planted].sort(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
