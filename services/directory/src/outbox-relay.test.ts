import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ConversationChangeSchema } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { unavailable } from "@parley/platform/errors";
import { createHealth } from "@parley/platform/health";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { ChangeConflictError, ChangePendingError, type OutboxEntry } from "./conversation-ports.ts";
import { createOutboxRelay, RELAY_LANES_MAX } from "./outbox-relay.ts";

/** An outbox in memory, and a log that takes a change when the test says so. */
function createRelayBench() {
  const rows = new Map<string, OutboxEntry[]>();
  const offered: string[] = [];
  const taken: string[] = [];
  const waiting: { readonly key: string; resolve(): void; reject(error: unknown): void }[] = [];
  const unanswered = new Set<(error: unknown) => void>();
  let onOffer: (() => void) | undefined;
  const counts = { reads: 0 };
  const failing = { reads: 0 };
  const reading = { held: undefined as Promise<void> | undefined };
  const telemetry = silentTelemetry();

  const health = createHealth();

  const relay = createOutboxRelay({
    telemetry,
    health,
    outbox: {
      async readPending(conversationId, limit) {
        counts.reads++;
        if (failing.reads > 0) {
          failing.reads--;
          throw new Error("the database is away");
        }
        const entries = (rows.get(conversationId) ?? []).slice(0, limit);
        await reading.held;
        return entries;
      },
      async listPending(after, limit) {
        const ids = [...rows].filter(([id, entries]) => id > after && entries.length > 0);
        return ids
          .map(([id]) => id)
          .sort()
          .slice(0, limit);
      },
      async deletePending(conversationId, version) {
        const left = (rows.get(conversationId) ?? []).filter(
          (entry) => entry.membershipVersion !== version,
        );
        rows.set(conversationId, left);
      },
    },
    appender: {
      append({ conversationId, membershipVersion }) {
        const key = `${conversationId}${membershipVersion}`;
        offered.push(key);
        return new Promise((resolve, reject) => {
          unanswered.add(reject);
          const settle = () => {
            taken.push(key);
            resolve();
          };
          waiting.push({ key, resolve: settle, reject });
          onOffer?.();
        });
      },
      async [Symbol.asyncDispose]() {
        for (const reject of unanswered) reject(unavailable("STREAM_LOST", "gone"));
      },
    },
  });

  return {
    relay,
    health,
    rows,
    offered,
    taken,
    counts,
    failing,
    reading,
    put(conversationId: string, membershipVersion: number) {
      const change = create(ConversationChangeSchema, {
        membershipVersion: BigInt(membershipVersion),
      });
      const entry = { conversationId, membershipVersion, change, traceParent: "" };
      rows.set(conversationId, [...(rows.get(conversationId) ?? []), entry]);
    },
    /** The next change that is offered and not yet answered. */
    async next() {
      while (waiting.length === 0) {
        await new Promise<void>((resolve) => {
          onOffer = resolve;
        });
      }
      const [item] = waiting.splice(0, 1);
      return item as (typeof waiting)[number];
    },
    wait: (conversationId: string, version: number, timeoutMs = 10_000) =>
      relay.waitApplied(conversationId, version, { timeoutMs }),
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
}

describe("the outbox relay", () => {
  it("sends a conversation's changes one after the other, in order", async () => {
    await using bench = createRelayBench();
    for (const version of [1, 2, 3]) bench.put("a", version);
    const waits = [bench.wait("a", 1), bench.wait("a", 2), bench.wait("a", 3)];
    for (const key of ["a1", "a2", "a3"]) {
      const item = await bench.next();
      assert.equal(item.key, key);
      assert.equal(bench.offered.length, bench.taken.length + 1, "one at a time");
      item.resolve();
      await waits.shift();
    }
    assert.deepEqual(bench.rows.get("a"), []);
  });

  it("answers each waiter as soon as its own change is applied", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    bench.put("a", 2);
    const first = bench.wait("a", 1);
    let secondDone = false;
    const second = bench.wait("a", 2).then(() => {
      secondDone = true;
    });
    (await bench.next()).resolve();
    await first;
    const item = await bench.next();
    assert.equal(secondDone, false);
    item.resolve();
    await second;
  });

  it("does not let one conversation wait for another", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    bench.put("b", 1);
    const stuck = bench.wait("a", 1, 200);
    const moving = bench.wait("b", 1);
    const items = [await bench.next(), await bench.next()];
    items.find(({ key }) => key === "b1")?.resolve();
    await moving;
    await assert.rejects(stuck, ChangePendingError);
    assert.deepEqual(bench.taken, ["b1"]);
  });

  it("repeats what the log did not take, and sends nothing later before it", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    bench.put("a", 2);
    const wait = bench.wait("a", 2);
    for (let attempt = 0; attempt < 3; attempt++) {
      const item = await bench.next();
      assert.equal(item.key, "a1");
      item.reject(unavailable("MOVED", "The partition moved."));
    }
    (await bench.next()).resolve();
    (await bench.next()).resolve();
    await wait;
    assert.deepEqual(bench.offered, ["a1", "a1", "a1", "a1", "a2"]);
  });

  it("goes on after the database was away", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    bench.failing.reads = 2;
    const wait = bench.wait("a", 1);
    (await bench.next()).resolve();
    await wait;
    assert.ok(bench.counts.reads >= 3);
  });

  it("answers at once when nothing is pending, and looks anew for everyone who asks later", async () => {
    await using bench = createRelayBench();
    await bench.wait("a", 7);
    bench.put("a", 8);
    const wait = bench.wait("a", 8);
    (await bench.next()).resolve();
    await wait;
    assert.deepEqual(bench.taken, ["a8"]);
  });

  it("does not take a read that began before the question for an answer to it", async () => {
    await using bench = createRelayBench();
    const held = Promise.withResolvers<void>();
    bench.reading.held = held.promise;
    const first = bench.wait("a", 1);
    // The lane begins to read in the next microtask, and finds nothing.
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(bench.counts.reads, 1);
    bench.put("a", 2);
    let done = false;
    const second = bench.wait("a", 2).then(() => {
      done = true;
    });
    bench.reading.held = undefined;
    held.resolve();
    await first;
    const item = await bench.next();
    assert.equal(done, false);
    item.resolve();
    await second;
  });

  it("does not take a read from before a change for an answer about it", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    const first = bench.wait("a", 1);
    const item = await bench.next();
    // Committed after the lane's read, asked while the lane is still busy with what it read.
    bench.put("a", 2);
    const second = bench.wait("a", 2);
    item.resolve();
    await first;
    const later = await bench.next();
    assert.equal(later.key, "a2");
    later.resolve();
    await second;
  });

  it("finds what an earlier process left behind", async () => {
    await using bench = createRelayBench();
    bench.put("a", 4);
    bench.put("b", 9);
    bench.relay.start();
    const keys: string[] = [];
    for (let index = 0; index < 2; index++) {
      const item = await bench.next();
      keys.push(item.key);
      item.resolve();
    }
    assert.deepEqual(keys.sort(), ["a4", "b9"]);
  });

  it("stops a conversation whose log holds another change, says so, and leaves its outbox", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    bench.put("a", 2);
    const waits = [1, 2].map((version) => bench.wait("a", version));
    const rejected = waits.map((wait) => assert.rejects(wait, ChangeConflictError));
    (await bench.next()).reject(new ChangeConflictError("restore"));
    await Promise.all(rejected);
    assert.equal(bench.health.get("membership changes")?.reason, "restore");
    assert.equal(bench.rows.get("a")?.length, 2);
    // A sweep passes it by, and takes what comes after it.
    bench.put("b", 1);
    bench.relay.start();
    const item = await bench.next();
    assert.equal(item.key, "b1");
    item.resolve();
    await assert.rejects(bench.wait("a", 2), ChangeConflictError);
    assert.deepEqual(bench.offered, ["a1", "b1"]);
  });

  it("tells its waiters when it stops, and leaves the outbox as it is", async () => {
    const bench = createRelayBench();
    bench.put("a", 1);
    const wait = bench.wait("a", 1);
    await bench.next();
    const rejected = assert.rejects(wait, ChangePendingError);
    await bench.relay[Symbol.asyncDispose]();
    await rejected;
    assert.equal(bench.rows.get("a")?.length, 1);
    await assert.rejects(bench.wait("a", 1), ChangePendingError);
  });

  it("stops waiting when the caller goes away", async () => {
    await using bench = createRelayBench();
    bench.put("a", 1);
    const caller = new AbortController();
    const options = { timeoutMs: 10_000, signal: caller.signal };
    const wait = bench.relay.waitApplied("a", 1, options);
    await bench.next();
    caller.abort(new Error("gone"));
    await assert.rejects(wait, /gone/);
    await assert.rejects(bench.relay.waitApplied("a", 1, options), /gone/);
  });

  it("bounds the conversations on their way; those above it are told to repeat", async () => {
    await using bench = createRelayBench();
    const stuck: Promise<void>[] = [];
    for (let index = 0; index < RELAY_LANES_MAX; index++) {
      bench.put(`c${index}-`, 1);
      const wait = bench.wait(`c${index}-`, 1);
      stuck.push(assert.rejects(wait, ChangePendingError));
    }
    await assert.rejects(bench.wait("one-more", 1), ChangePendingError);
    await bench.relay[Symbol.asyncDispose]();
    await Promise.all(stuck);
  });
});
