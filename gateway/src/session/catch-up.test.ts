import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import fc from "fast-check";
import { EventFrame } from "../outbound/event-frame.ts";
import type { ChatDelivery } from "../testing/memory-chat.ts";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import {
  createTestSessions,
  settle,
  type TestSessions,
  testCaller,
} from "../testing/test-sessions.ts";
import { createTokenMint } from "../testing/tokens.ts";
import type { Session } from "./session.ts";

const payload = new Uint8Array([1]);
const OTHER = "00000000-0000-4000-8000-000000000000";

/** A fan-out whose steps the test chooses: inboxes are written at once, look-up and delivery come later. */
function createFanout({ services, sessions }: TestSessions) {
  const waiting: ChatDelivery[] = [];
  services.chat.onEntry = (delivery) => waiting.push(delivery);
  return {
    get waiting() {
      return waiting.length;
    },
    step(lost: boolean) {
      const delivery = waiting.shift();
      if (delivery === undefined || lost) return;
      const { conversationId, entry, originSessionId, userIds } = delivery;
      const frame = new EventFrame(entry.event, conversationId, entry.seq, originSessionId);
      for (const userId of userIds) {
        if (!services.registry.isOnline(userId)) continue;
        let session = sessions.hub.sessions.firstOf(userId);
        for (; session !== undefined; session = session.nextOfUser) {
          sessions.hub.deliver(session, frame);
        }
      }
    },
  };
}

const kinds = { append: 8, deliver: 8, lose: 2, own: 1, leave: 1, again: 1 } as const;

const action = fc.record({
  kind: fc.constantFrom(
    ...Object.entries(kinds).flatMap(([kind, weight]) =>
      Array.from({ length: weight }, () => kind as keyof typeof kinds),
    ),
  ),
  conversation: fc.nat(3),
});

const history = fc.record({
  conversations: fc.array(fc.record({ stored: fc.nat(40), position: fc.nat(40) }), {
    minLength: 1,
    maxLength: 4,
  }),
  actions: fc.array(action, { maxLength: 150 }),
  // Without losses every delivery has to be enough by itself: no later entry shows what is missing.
  lossy: fc.boolean(),
  waitingMax: fc.integer({ min: 1, max: 50 }),
  scheduler: fc.scheduler(),
});

describe("catch-up", () => {
  it("sends each missed entry once and in order, whatever happens meanwhile", async () => {
    const mint = await createTokenMint();
    await fc.assert(
      fc.asyncProperty(
        history,
        async ({ conversations, actions, lossy, waitingMax, scheduler }) => {
          await using test = await createTestSessions({ mint });
          const { chat } = test.services;
          const caller = testCaller();
          const ids = conversations.map(() => chat.createConversation([caller.userId, OTHER]));
          const append = (conversationId: string, originSessionId = "") =>
            chat.append({ conversationId, senderUserId: OTHER, payload, originSessionId });
          const positions = conversations.map(({ stored, position }, index) => {
            const conversationId = ids[index] as string;
            for (let count = 0; count < stored; count++) append(conversationId);
            const seq = Math.min(stored, position);
            const { messageId = 0n } = chat.get(conversationId).entries[seq - 1] ?? {};
            return { conversationId, seq: BigInt(seq), messageId };
          });
          const fanout = createFanout(test);
          const outlet = new RecordingOutlet(waitingMax);
          let draining = false;
          outlet.onQueued = () => {
            if (draining) return;
            draining = true;
            void scheduler.schedule(Promise.resolve(), "the client reads").then(() => {
              draining = false;
              outlet.drain();
            });
          };
          test.services.hold = (rpc) => scheduler.schedule(Promise.resolve(), rpc);

          let session: Session | undefined;
          const opening = test.open(caller, outlet, { positions, catchUpMessagesMax: 1000 });
          void opening.then((opened) => {
            session = opened;
          });
          const own = new Set<string>();
          const act = ({ kind, conversation }: (typeof actions)[number]) => {
            const conversationId = ids[conversation % ids.length] as string;
            if (kind === "append") append(conversationId);
            else if (kind === "own" && session !== undefined) {
              own.add(`${conversationId}/${append(conversationId, session.id).entry.seq}`);
            } else if (kind === "leave") {
              if (chat.isMember(conversationId, caller.userId))
                chat.leave(conversationId, caller.userId);
              else chat.join(conversationId, caller.userId);
            } else if (kind === "again" && session !== undefined) {
              test.sessions.hub.catchUps.startAgain(session);
            } else if (kind === "deliver" || kind === "lose") fanout.step(lossy && kind === "lose");
          };
          const acting = scheduler.scheduleSequence(
            actions.map((one) => ({ label: one.kind, builder: async () => act(one) })),
          );
          await runAll(scheduler);
          await acting.task;
          while (fanout.waiting > 0) fanout.step(false);
          // What was lost shows at the next entry that is not.
          for (const conversationId of lossy ? ids : []) {
            if (!chat.isMember(conversationId, caller.userId))
              chat.join(conversationId, caller.userId);
            append(conversationId);
            fanout.step(false);
          }
          await runAll(scheduler);

          assert.equal(outlet.goodbye, undefined);
          assert.equal(session?.state, "live");
          assert.equal(outlet.of("opened").length, 1);
          assert.equal(outlet.of("caughtUp").length, 1);
          assert.deepEqual(outlet.of("caughtUp")[0]?.diverged, []);
          for (const { conversationId, seq } of positions) {
            const wanted = chat
              .get(conversationId)
              .entries.filter((entry) => entry.seq > Number(seq))
              .filter((entry) => chat.mayRead(conversationId, caller.userId, entry.seq))
              .map((entry) => entry.seq);
            const sent = outlet.seqsOf(conversationId);
            // A device that has nothing is owed the newest membership, and perhaps gets more.
            const memberships = chat.get(conversationId).memberships.get(caller.userId);
            const owedFrom = seq === 0n ? (memberships?.at(-1)?.firstSeq ?? 1) : 1;
            const missing = wanted.filter(
              (one) =>
                one >= owedFrom && !sent.includes(one) && !own.has(`${conversationId}/${one}`),
            );
            assert.deepEqual(missing, []);
            assert.deepEqual(
              sent,
              wanted.filter((one) => sent.includes(one)),
            );
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("merges conversations by message id", async () => {
    await using test = await createTestSessions();
    const { chat } = test.services;
    const caller = testCaller();
    const ids = Array.from({ length: 7 }, () => chat.createConversation([caller.userId]));
    for (let count = 0; count < 900; count++) {
      const conversationId = ids[(count * count) % ids.length] as string;
      chat.append({ conversationId, senderUserId: OTHER, payload });
    }
    const outlet = new RecordingOutlet();
    await test.open(caller, outlet, { catchUpMessagesMax: 1000 });
    await settle(50);
    const messageIds = outlet.messages().map(({ messageId }) => messageId);
    assert.equal(messageIds.length, 900);
    assert.deepEqual(
      messageIds,
      messageIds.toSorted((a, b) => (a < b ? -1 : 1)),
    );
  });

  it("leaves out what is old in new and in far-behind readable conversations, and says so", async () => {
    await using test = await createTestSessions();
    const { chat } = test.services;
    const caller = testCaller();
    const { END_TO_END, SERVER_READABLE } = EncryptionMode;
    const make = (mode: EncryptionMode) => {
      const id = chat.createConversation([caller.userId], mode);
      for (let count = 0; count < 100; count++) {
        chat.append({ conversationId: id, senderUserId: OTHER, payload });
      }
      return id;
    };
    const [unknown, behind, secret] = [
      make(SERVER_READABLE),
      make(SERVER_READABLE),
      make(END_TO_END),
    ];
    const outlet = new RecordingOutlet();
    await test.open(caller, outlet, {
      positions: [behind, secret].map((conversationId) => ({ conversationId, seq: 20n })),
      catchUpMessagesMax: 10,
    });
    await settle(30);
    const range = (from: number) => Array.from({ length: 101 - from }, (_, index) => from + index);
    assert.deepEqual(outlet.seqsOf(unknown), range(91));
    assert.deepEqual(outlet.seqsOf(behind), range(91));
    assert.deepEqual(outlet.seqsOf(secret), range(21));
    const [caughtUp] = outlet.of("caughtUp");
    const skipped = new Map(
      caughtUp?.skipped.map(({ conversationId, firstSeq, lastSeq }) => [
        conversationId,
        [firstSeq, lastSeq],
      ]),
    );
    assert.deepEqual(
      skipped,
      new Map([
        [unknown, [1n, 90n]],
        [behind, [21n, 90n]],
      ]),
    );
  });

  it("waits for all positions", async () => {
    await using test = await createTestSessions();
    const { chat } = test.services;
    const caller = testCaller();
    const conversationId = chat.createConversation([caller.userId]);
    for (let count = 0; count < 3; count++) {
      chat.append({ conversationId, senderUserId: OTHER, payload });
    }
    const outlet = new RecordingOutlet();
    const session = await test.open(caller, outlet, { positionsComplete: false });
    await settle();
    assert.deepEqual(outlet.of("caughtUp"), []);
    const { hub } = test.sessions;
    const more = (seq: bigint, positionsComplete: boolean) => ({
      $typeName: "parley.realtime.v1.MorePositions" as const,
      positions: [
        {
          $typeName: "parley.realtime.v1.Position" as const,
          conversationId,
          seq,
          messageId: 0n,
        },
      ],
      positionsComplete,
    });
    assert.equal(hub.catchUps.addPositions(session, more(1n, false)), true);
    assert.equal(hub.catchUps.addPositions(session, more(2n, true)), true);
    await settle();
    assert.deepEqual(outlet.seqsOf(conversationId), [3]);
    assert.equal(outlet.of("caughtUp").length, 1);
    assert.equal(hub.catchUps.addPositions(session, more(2n, true)), false);
  });

  it("tries again, and gives the session up when the timeline stays away", async () => {
    await using test = await createTestSessions();
    const { chat } = test.services;
    const caller = testCaller();
    const conversationId = chat.createConversation([caller.userId]);
    chat.append({ conversationId, senderUserId: OTHER, payload });
    let failures = 2;
    test.services.hold = (rpc) => {
      if (rpc !== "ReadRanges" || failures-- <= 0) return undefined;
      return Promise.reject(new Error("the timeline is away"));
    };
    const outlet = new RecordingOutlet();
    const first = await test.open(caller, outlet);
    while (outlet.of("caughtUp").length === 0) await settle();
    assert.deepEqual(outlet.seqsOf(conversationId), [1]);
    assert.equal(first.state, "live");

    failures = Number.POSITIVE_INFINITY;
    const lost = new RecordingOutlet();
    await test.open(caller, lost);
    while (lost.goodbye === undefined) await settle();
    assert.equal(lost.of("goodbye").length, 1);
  });
});

/** Runs everything that is scheduled, and what follows from it, until nothing is left. */
async function runAll(scheduler: fc.Scheduler): Promise<void> {
  for (let quiet = 0; quiet < 4; ) {
    if (scheduler.count() > 0) {
      quiet = 0;
      await scheduler.waitOne();
      // Registration travels once per turn of the event loop, so turns have to pass between steps.
      await settle(1);
    } else {
      quiet++;
      await settle(2);
    }
  }
}
