import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ClientFrameSchema, type ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createManualClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { createTestSessions, testCaller } from "../testing/test-sessions.ts";

type Frame = NonNullable<MessageInitShape<typeof ClientFrameSchema>["frame"]>;

const CALLS_PER_SECOND = 2;
/** As the limits have it: five seconds' worth at once. */
const BURST = 10;

const costly: Record<string, () => Frame> = {
  watch_presence: () => ({ case: "watchPresence", value: { userIds: [] } }),
  authenticate: () => ({ case: "authenticate", value: { accessToken: "a.b.c" } }),
  receipt: () => ({ case: "receipt", value: { conversationId: newUuid(), readSeq: 1n } }),
};

describe("frames that cost as much as calls", () => {
  for (const [name, frameOf] of Object.entries(costly)) {
    it(`are limited as calls are: ${name}`, async () => {
      const clock = createManualClock();
      await using test = await createTestSessions({ clock, callsPerSecond: CALLS_PER_SECOND });
      const session = await test.open(testCaller(), new RecordingOutlet());
      const { hub } = test.sessions;
      const answerTo = async () => {
        const frame = create(ClientFrameSchema, { requestId: 1n, frame: frameOf() });
        return reasonOf(await hub.handle(session, frame));
      };
      for (let count = 0; count < BURST; count++) {
        assert.notEqual((await answerTo()).reason, "RATE_LIMITED", `frame ${count + 1}`);
      }
      const refused = await answerTo();
      assert.equal(refused.reason, "RATE_LIMITED");
      assert.equal(refused.retryMs, 1000 / CALLS_PER_SECOND);
      clock.advance(1000 / CALLS_PER_SECOND);
      assert.notEqual((await answerTo()).reason, "RATE_LIMITED");
    });
  }

  it("do not include heartbeats, sends, and the close", async () => {
    await using test = await createTestSessions({ callsPerSecond: CALLS_PER_SECOND });
    const caller = testCaller();
    const conversationId = test.services.chat.createConversation([caller.userId]);
    const session = await test.open(caller, new RecordingOutlet());
    const { hub } = test.sessions;
    const body = { case: "payload", value: new Uint8Array([1]) } as const;
    for (let count = 0; count <= BURST; count++) {
      const value = { conversationId, clientMessageId: newUuid(), body };
      const send = create(ClientFrameSchema, { requestId: 1n, frame: { case: "send", value } });
      assert.equal((await hub.handle(session, send))?.frame.case, "sent");
      const beat = create(ClientFrameSchema, { frame: { case: "heartbeat", value: {} } });
      assert.equal((await hub.handle(session, beat))?.frame.case, "heartbeat");
    }
    const close = create(ClientFrameSchema, { frame: { case: "close", value: {} } });
    await hub.handle(session, close);
    assert.ok(session.ended);
  });
});

function reasonOf(answer: ServerFrame | undefined) {
  if (answer?.frame.case !== "refused") return { reason: "", retryMs: 0 };
  const { reason, retryDelay } = answer.frame.value;
  const retryMs = Number(retryDelay?.seconds ?? 0n) * 1000 + (retryDelay?.nanos ?? 0) / 1e6;
  return { reason, retryMs };
}
