import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import { ListMessagesResponseSchema } from "@parley/gen/parley/message/v1/message_service_pb";
import fc from "fast-check";
import { clientError } from "../errors.ts";
import { type ListMessages, readReplacement } from "./replacement.ts";

const C = "conversation";
const PAGE = 200;

/** The entries first to last; `history` tells one history's entries from another's. */
function entries(history: number, first: number, last: number): Message[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => {
    const seq = BigInt(first + index);
    const messageId = seq * 10n + BigInt(history);
    return create(MessageSchema, { conversationId: C, seq, messageId });
  });
}

/** A server that has these entries. */
function serve(all: readonly Message[]) {
  const requests: bigint[] = [];
  const listMessages: ListMessages = async ({ fromSeq, pageSize }) => {
    requests.push(fromSeq);
    const older = all.filter(({ seq }) => fromSeq === 0n || seq < fromSeq).reverse();
    const messages = older.slice(0, pageSize);
    return create(ListMessagesResponseSchema, { messages, more: older.length > pageSize });
  };
  return { requests, listMessages, signal: new AbortController().signal };
}

const seqs = (messages: readonly Message[]) => messages.map(({ seq }) => Number(seq));

describe("readReplacement", () => {
  it("finds how far both agree, what is lost, and what is new", async () => {
    const here = entries(1, 30, 50);
    const there = [...entries(1, 1, 40), ...entries(2, 41, 45)];
    const found = await readReplacement(C, here, serve(there));
    assert.deepEqual(found.kept, entries(1, 40, 40)[0]);
    assert.deepEqual(found.lost, entries(1, 41, 50));
    assert.deepEqual(found.newest, entries(2, 41, 45));
    assert.equal(found.skipped, undefined);
  });

  it("keeps nothing where the server has nothing, or nothing for this person", async () => {
    const here = entries(1, 1, 5);
    const signal = new AbortController().signal;
    const refuse: ListMessages = async () => {
      throw clientError(Code.NotFound, "PROTOCOL", "No such conversation.");
    };
    for (const dependencies of [serve([]), { listMessages: refuse, signal }]) {
      const found = await readReplacement(C, here, dependencies);
      assert.equal(found.kept, undefined);
      assert.deepEqual([seqs(found.lost), seqs(found.newest)], [[1, 2, 3, 4, 5], []]);
    }
  });

  it("does not read what was written since, but for the newest page", async () => {
    const here = entries(1, 901, 1_000);
    const there = [...entries(1, 1, 950), ...entries(2, 951, 9_000)];
    const server = serve(there);
    const found = await readReplacement(C, here, server);
    assert.deepEqual(server.requests, [0n, 1_001n]);
    assert.equal(found.kept?.seq, 950n);
    assert.deepEqual(found.newest, entries(2, 8_801, 9_000));
    assert.deepEqual(found.skipped, { first: 951n, last: 8_800n });
  });

  it("rejects when the server cannot be asked", async () => {
    const signal = new AbortController().signal;
    const fail: ListMessages = async () => {
      throw clientError(Code.Unavailable, "NETWORK", "Not now.");
    };
    await assert.rejects(readReplacement(C, entries(1, 1, 2), { listMessages: fail, signal }), {
      reason: "NETWORK",
    });
  });

  it("is right for every pair of histories with a common beginning", async () => {
    const lengths = fc.record({
      common: fc.nat(700),
      here: fc.nat(700),
      there: fc.nat(700),
      kept: fc.integer({ min: 0, max: 500 }),
    });
    await fc.assert(
      fc.asyncProperty(lengths, async ({ common, here, there, kept }) => {
        const beginning = entries(1, 1, common);
        const stored = [...beginning, ...entries(1, common + 1, common + here)].slice(-kept || 1e9);
        const server = [...beginning, ...entries(2, common + 1, common + there)];
        const found = await readReplacement(C, stored, serve(server));
        const lowest = Number(stored[0]?.seq ?? 1e9);
        const expected = common >= lowest ? common : 0;
        assert.equal(Number(found.kept?.seq ?? 0), expected);
        assert.deepEqual(
          found.lost,
          expected === 0 ? stored : entries(1, common + 1, common + here),
        );
        const above = server.slice(expected);
        assert.deepEqual(found.newest, above.slice(-PAGE));
        const left = above.length - found.newest.length;
        assert.deepEqual(
          found.skipped,
          left === 0 ? undefined : { first: BigInt(expected + 1), last: BigInt(expected + left) },
        );
      }),
      { numRuns: 150 },
    );
  });
});
