import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { EventFrame } from "../outbound/event-frame.ts";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { createTestSessions, settle, testCaller } from "../testing/test-sessions.ts";
import { createTokenMint } from "../testing/tokens.ts";
import type { Session } from "./session.ts";

const payload = new Uint8Array([1]);
const OTHER = "00000000-0000-4000-8000-000000000000";

async function start(mint?: Awaited<ReturnType<typeof createTokenMint>>) {
  const test = await createTestSessions(mint === undefined ? {} : { mint });
  const { chat } = test.services;
  const caller = testCaller();
  const append = (conversationId: string) =>
    chat.append({ conversationId, senderUserId: OTHER, payload }).entry;
  /** A conversation with so many entries. */
  const make = (length: number) => {
    const conversationId = chat.createConversation([caller.userId, OTHER]);
    for (let count = 0; count < length; count++) append(conversationId);
    return conversationId;
  };
  /** What a device says that has a conversation up to there. */
  const positionAt = (conversationId: string, seq: number) => ({
    conversationId,
    seq: BigInt(seq),
    messageId: chat.get(conversationId).entries[seq - 1]?.messageId ?? 0n,
  });
  const open = async (positions: ReturnType<typeof positionAt>[], messagesMax = 1000) => {
    const outlet = new RecordingOutlet();
    const session = await test.open(caller, outlet, {
      positions,
      catchUpMessagesMax: messagesMax,
    });
    while (outlet.of("caughtUp").length === 0 && outlet.goodbye === undefined) await settle();
    return { outlet, session, diverged: divergedOf(outlet) };
  };
  return {
    ...test,
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
    chat,
    caller,
    append,
    make,
    positionAt,
    open,
  };
}

function divergedOf(outlet: RecordingOutlet): Record<string, number> {
  const [caughtUp] = outlet.of("caughtUp");
  return Object.fromEntries(
    (caughtUp?.diverged ?? []).map(({ conversationId, lastSeq }) => [
      conversationId,
      Number(lastSeq),
    ]),
  );
}

describe("positions of another history", () => {
  it("are told of, whether the server has other entries there or none, and the rest is sent", async () => {
    await using test = await start();
    const { chat, make, append, positionAt } = test;
    const [other, beyond, gone, far, kept] = [make(10), make(10), make(5), make(10), make(10)];
    const positions = [
      positionAt(other, 8),
      positionAt(beyond, 8),
      positionAt(gone, 5),
      positionAt(far, 8),
      positionAt(kept, 8),
    ];
    for (const id of [other, far]) chat.putBack(id, 6);
    chat.putBack(beyond, 7);
    chat.putBack(gone, undefined);
    for (let count = 0; count < 4; count++) append(other);
    for (let count = 0; count < 20; count++) append(far);
    const { outlet, diverged } = await test.open(positions, 10);
    assert.deepEqual(diverged, { [other]: 10, [beyond]: 7, [gone]: 0, [far]: 26 });
    assert.deepEqual(outlet.of("caughtUp")[0]?.skipped, [], "nothing else is said of them");
    assert.deepEqual(
      outlet.messages().map(({ conversationId, seq }) => `${conversationId}/${seq}`),
      [`${kept}/9`, `${kept}/10`],
    );
  });

  it("cost no read where nothing is missing, and no request more where something is", async () => {
    await using test = await start();
    const { make, positionAt } = test;
    const { calls } = test.services;
    const complete = Array.from({ length: 50 }, () => make(3));
    await test.open(complete.map((id) => positionAt(id, 3)));
    assert.equal(calls.get("ReadRanges") ?? 0, 0);
    const behind = Array.from({ length: 50 }, () => make(3));
    const { outlet } = await test.open(behind.map((id) => positionAt(id, 2)));
    assert.equal(calls.get("ReadRanges"), 1);
    assert.equal(outlet.messages().length, 50 + 150);
  });

  it("are looked for in few requests, however many a client makes up", async () => {
    await using test = await start();
    const id = (index: number) => `00000000-0000-4000-9000-${String(index).padStart(12, "0")}`;
    const positions = Array.from({ length: 1000 }, (_, index) => ({
      conversationId: id(index),
      seq: 2n ** 64n - 1n,
      messageId: 2n ** 64n - 1n,
    }));
    const { diverged } = await test.open(positions);
    assert.equal(Object.keys(diverged).length, 1000);
    assert.equal(test.services.calls.get("ReadRanges"), 10);
  });

  it("are not those of a device that is ahead of its inbox", async () => {
    await using test = await start();
    const { chat, make, append, positionAt } = test;
    const [ahead, created] = [make(5), make(2)];
    chat.inboxBehind.set(ahead, 3);
    chat.inboxBehind.set(created, 0);
    const { outlet, session, diverged } = await test.open([
      positionAt(ahead, 5),
      positionAt(created, 2),
    ]);
    assert.deepEqual(diverged, {});
    assert.deepEqual(outlet.messages(), []);
    for (const id of [ahead, created]) {
      const { seq, event } = append(id);
      test.sessions.hub.deliver(session, new EventFrame(event, id, seq));
    }
    await settle();
    assert.deepEqual(outlet.seqsOf(ahead), [6]);
    assert.deepEqual(outlet.seqsOf(created), [3]);
  });

  it("are not those of a former member, or of entries that may not be read any more", async () => {
    await using test = await start();
    const { chat, caller, make, append, positionAt } = test;
    const [left, again] = [make(5), make(5)];
    const positions = [positionAt(left, 5), positionAt(again, 3)];
    for (const id of [left, again]) {
      chat.leave(id, caller.userId);
      for (let count = 0; count < 5; count++) append(id);
    }
    chat.get(again).memberships.set(caller.userId, [{ firstSeq: 9, lastSeq: undefined }]);
    const { outlet, diverged } = await test.open(positions);
    assert.deepEqual(diverged, {});
    assert.deepEqual(outlet.seqsOf(left), []);
    assert.deepEqual(outlet.seqsOf(again), [9, 10]);
  });

  it("do not count without an id", async () => {
    await using test = await start();
    const { chat, make, positionAt } = test;
    const [one, gone] = [make(10), make(5)];
    const positions = [positionAt(one, 8), positionAt(gone, 5)];
    chat.putBack(one, 4);
    chat.putBack(gone, undefined);
    const { diverged } = await test.open(positions.map((at) => ({ ...at, messageId: 0n })));
    assert.deepEqual(diverged, {});
  });

  it("are told of as far as the timeline goes where the inbox does not list the conversation", async () => {
    await using test = await start();
    const { chat, make, positionAt } = test;
    const id = make(10);
    const positions = [positionAt(id, 8)];
    chat.putBack(id, 6);
    chat.inboxBehind.set(id, 0);
    assert.deepEqual((await test.open(positions)).diverged, { [id]: 6 });
  });

  it("end nothing: live events flow after it, from where the server is", async () => {
    await using test = await start();
    const { chat, make, append, positionAt } = test;
    const id = make(10);
    const positions = [positionAt(id, 8)];
    chat.putBack(id, 6);
    let live: Session | undefined;
    let appends = 2;
    const deliver = () => {
      const { seq, event } = append(id);
      live ??= test.sessions.hub.sessions.firstOf(test.caller.userId);
      if (live !== undefined) test.sessions.hub.deliver(live, new EventFrame(event, id, seq));
    };
    test.services.hold = (rpc) => {
      if (rpc === "ReadRanges" && appends-- > 0) deliver();
      return undefined;
    };
    const { outlet, diverged } = await test.open(positions);
    test.services.hold = () => undefined;
    assert.deepEqual(diverged, { [id]: 6 });
    const caughtUpAt = outlet.frames.findIndex(({ frame }) => frame.case === "caughtUp");
    assert.ok(!outlet.frames.slice(0, caughtUpAt).some(({ frame }) => frame.case === "event"));
    const fromSeven = () =>
      Array.from({ length: chat.get(id).entries.length - 6 }, (_, index) => index + 7);
    await settle(20);
    assert.ok(fromSeven().length > 0);
    assert.deepEqual(outlet.seqsOf(id), fromSeven(), "what came meanwhile follows");
    deliver();
    await settle(20);
    assert.deepEqual(outlet.seqsOf(id), fromSeven());
  });
});

const conversation = fc.record({
  /** Entries that the server and the device have. */
  common: fc.nat(8),
  /** Entries that the device knows, and that the server lost. */
  lost: fc.nat(4),
  /** Entries that came since. */
  since: fc.nat(8),
  positionSeq: fc.nat(12),
  hasId: fc.boolean(),
  inboxBehind: fc.oneof(fc.constant(0), fc.nat(4)),
  gone: fc.boolean(),
});

describe("divergence", () => {
  it("is found exactly where it is, whatever happens meanwhile", async () => {
    const mint = await createTokenMint();
    await fc.assert(
      fc.asyncProperty(
        fc.array(conversation, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(4), { maxLength: 6 }),
        async (conversations, appends) => {
          await using test = await start(mint);
          const { chat, make, append, positionAt } = test;
          const given = conversations.map((one) => {
            const id = make(one.common + one.lost);
            const seq = Math.min(one.positionSeq, one.common + one.lost);
            const position = positionAt(id, seq);
            chat.putBack(id, one.gone ? undefined : one.common);
            for (let count = 0; count < one.since && !one.gone; count++) append(id);
            const length = one.gone ? 0 : one.common + one.since;
            const headSeq = Math.max(0, length - one.inboxBehind);
            if (one.inboxBehind > 0) chat.inboxBehind.set(id, headSeq);
            const diverges = one.hasId && seq > 0 && (one.gone || seq > one.common);
            // Of what neither the inbox nor an id vouches for only what is live is known.
            const known = seq > 0 && (one.hasId || headSeq > 0);
            return { ...one, id, seq, position, diverges, known };
          });
          const deliver = (id: string) => {
            if (!chat.conversations.has(id)) return;
            const { seq, event } = append(id);
            chat.inboxBehind.delete(id);
            let session = test.sessions.hub.sessions.firstOf(test.caller.userId);
            for (; session !== undefined; session = session.nextOfUser) {
              test.sessions.hub.deliver(session, new EventFrame(event, id, seq));
            }
          };
          const waiting = [...appends];
          test.services.hold = () => {
            const index = waiting.shift();
            if (index !== undefined) deliver(given[index % given.length]?.id ?? "");
            return undefined;
          };
          const { outlet, diverged } = await test.open(
            given.map(({ position, hasId }) => (hasId ? position : { ...position, messageId: 0n })),
          );
          const caughtUpAt = outlet.frames.findIndex(({ frame }) => frame.case === "caughtUp");
          const before = outlet.eventsBefore(caughtUpAt);
          test.services.hold = () => undefined;
          for (const { id } of given) deliver(id);
          await settle(20);

          assert.equal(outlet.goodbye, undefined);
          assert.deepEqual(
            Object.keys(diverged).toSorted(),
            given.flatMap(({ id, diverges }) => (diverges ? [id] : [])).toSorted(),
          );
          for (const { id, seq, diverges, known, gone } of given) {
            const length = gone ? 0 : chat.get(id).entries.length;
            const fromSeq = diverged[id] ?? seq;
            if (diverges) assert.ok(!before.includes(id), "nothing of it comes before `caught_up`");
            if (!known) continue;
            const wanted = Array.from(
              { length: Math.max(0, length - fromSeq) },
              (_, index) => fromSeq + index + 1,
            );
            const sent = outlet.seqsOf(id);
            // Without an id a device that is ahead may get again what it has.
            assert.deepEqual(diverges ? sent : sent.filter((one) => one > fromSeq), wanted);
            assert.equal(new Set(sent).size, sent.length, "nothing comes twice");
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});
