// Appends on their way to whoever applies their partition: the owner may be unknown, wrong, dead, or moving.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  AppendItemSchema,
  type AppendResult,
  AppendResultSchema,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { toRefusalFields, unavailable } from "@parley/platform/errors";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { defineRoute } from "@parley/platform/rpc/route";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { createAppendRouter } from "./append-router.ts";

const CONVERSATION = "0b7d2f7c-6c5e-4b56-9c2b-1f6a6d0f4c11";
const internal = { kind: "internal", service: "test" } as const;

/** An instance that answers as the test says; `take` throws to break its stream. */
function createInstance(take: (conversationId: string, count: number) => AppendResult["outcome"]) {
  const taken: string[] = [];
  const route = defineRoute(AppendService, {
    async *appendBatches(requests) {
      for await (const { items } of requests) {
        const results = items.map((item) => {
          taken.push(item.conversationId);
          const outcome = take(item.conversationId, taken.length);
          return create(AppendResultSchema, { correlationId: item.correlationId, outcome });
        });
        yield { results };
      }
    },
  });
  const transport = createInProcessTransport({
    routes: [route],
    interceptors: [],
    asCaller: internal,
  });
  return { transport: { ...transport, [Symbol.asyncDispose]: async () => {} }, taken };
}

const accepted = (seq: number): AppendResult["outcome"] => ({
  case: "accepted",
  value: create(AppendResultSchema, {
    outcome: { case: "accepted", value: { seq: BigInt(seq) } },
  }).outcome.value as never,
});

const refused = (reason: string): AppendResult["outcome"] => ({
  case: "refused",
  value: create(AppendResultSchema, {
    outcome: { case: "refused", value: toRefusalFields(unavailable(reason, "no")) },
  }).outcome.value as never,
});

/** A router whose registry answers `addresses` one after the other, the last one for ever. */
function createFixture(
  addresses: (string | undefined)[],
  instances: Record<string, ReturnType<typeof createInstance>>,
) {
  const clock = createManualClock();
  const known = [...addresses];
  let refreshes = 0;
  const router = createAppendRouter({
    owners: {
      ownerOf: () => known[0],
      async refresh() {
        refreshes += 1;
        clock.advance(100);
        if (known.length > 1) known.shift();
      },
      [Symbol.asyncDispose]: async () => {},
    },
    connect: (address) => {
      const instance = instances[address];
      if (instance === undefined) throw new Error(`nobody is at ${address}`);
      return instance.transport;
    },
    clock,
    log: createSilentLogger(),
  });
  const client = createClient(
    AppendService,
    createInProcessTransport({ routes: [router.route], interceptors: [], asCaller: internal }),
  );
  return {
    router,
    refreshes: () => refreshes,
    /** Appends so many items of one conversation at once; their outcomes by correlation id. */
    async append(count: number): Promise<(bigint | string)[]> {
      const items = Array.from({ length: count }, (_, at) =>
        create(AppendItemSchema, { correlationId: BigInt(at + 1), conversationId: CONVERSATION }),
      );
      const outcomes = new Map<bigint, bigint | string>();
      const requests = (async function* () {
        yield { items };
      })();
      for await (const { results } of client.appendBatches(requests)) {
        for (const { correlationId, outcome } of results) {
          if (outcome.case === "accepted") outcomes.set(correlationId, outcome.value.seq);
          if (outcome.case === "refused") outcomes.set(correlationId, outcome.value.reason);
        }
      }
      return items.map(({ correlationId }) => outcomes.get(correlationId) ?? "no answer");
    },
  };
}

describe("the append router", () => {
  it("brings items to their owner, and its answers back to whoever asked", async () => {
    const west = createInstance((_, count) => accepted(count));
    const fixture = createFixture(["west"], { west });
    await using _router = fixture.router;
    assert.deepEqual(await fixture.append(3), [1n, 2n, 3n]);
    assert.equal(fixture.refreshes(), 0);
  });

  it("goes to the new owner when the old one refuses, and keeps the order", async () => {
    const west = createInstance(() => refused("NOT_OWNER"));
    const east = createInstance((_, count) => accepted(count));
    const fixture = createFixture(["west", "east"], { west, east });
    await using _router = fixture.router;
    assert.deepEqual(await fixture.append(5), [1n, 2n, 3n, 4n, 5n]);
  });

  it("waits for an owner while nobody is known", async () => {
    const west = createInstance((_, count) => accepted(count));
    const fixture = createFixture([undefined, undefined, "west"], { west });
    await using _router = fixture.router;
    assert.deepEqual(await fixture.append(2), [1n, 2n]);
    assert.ok(fixture.refreshes() >= 2);
  });

  it("repeats what an owner that died may have taken", async () => {
    let alive = false;
    const west = createInstance((_, count) => {
      if (alive) return accepted(count);
      alive = true;
      throw new Error("killed");
    });
    const fixture = createFixture(["west"], { west });
    await using _router = fixture.router;
    const [seq] = await fixture.append(1);
    assert.equal(typeof seq, "bigint");
  });

  it("says that the outcome is unknown when nobody answers in time", async () => {
    const west = createInstance(() => refused("NOT_OWNER"));
    const fixture = createFixture(["west"], { west });
    await using _router = fixture.router;
    assert.deepEqual(await fixture.append(2), ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"]);
  });

  it("passes every other refusal on at once", async () => {
    const west = createInstance(() => refused("CANNOT_SEND"));
    const fixture = createFixture(["west"], { west });
    await using _router = fixture.router;
    assert.deepEqual(await fixture.append(1), ["CANNOT_SEND"]);
    assert.equal(fixture.refreshes(), 0);
  });
});
