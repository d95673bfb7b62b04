import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createGoodbye } from "../session/goodbye.ts";
import { doneFrame } from "../session/server-frames.ts";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { EventFrame } from "./event-frame.ts";
import { type ContentModes, JsonGate } from "./json-gate.ts";

function message(conversationId: string, seq: number): EventFrame {
  const value = { conversationId, seq: BigInt(seq) };
  const event = create(EventSchema, { event: { case: "message", value } });
  return new EventFrame(toBinary(EventSchema, event), conversationId, seq);
}

/** Modes that are answered when the test says so. */
function createModes() {
  const known = new Map<string, boolean>();
  const asked: (() => void)[] = [];
  const modes: ContentModes = {
    peek: (conversationId) => known.get(conversationId),
    isServerReadable: (conversationId) =>
      new Promise((resolve) => {
        asked.push(() => {
          known.set(conversationId, true);
          resolve(true);
        });
      }),
  };
  return { modes, known, asked };
}

const settled = () => new Promise((next) => setImmediate(next));

describe("JsonGate", () => {
  it("keeps the order of everything behind an event that has to be asked for", async () => {
    const { modes, asked } = createModes();
    const inner = new RecordingOutlet();
    const gate = new JsonGate(inner, modes, 1000, () => assert.fail("overflow"));
    gate.event(message("a", 1));
    gate.frame(doneFrame(5n));
    gate.event(message("a", 2));
    gate.event(message("b", 1));
    assert.equal(inner.frames.length, 0);
    assert.equal(gate.waitingFrames, 4);
    asked[0]?.();
    await settled();
    assert.deepEqual(inner.seqsOf("a"), [1, 2]);
    assert.equal(inner.frames[1]?.requestId, 5n);
    assert.equal(asked.length, 2, "each conversation is asked for once");
    asked[1]?.();
    await settled();
    assert.deepEqual(inner.seqsOf("b"), [1]);
    gate.event(message("a", 3));
    assert.deepEqual(inner.seqsOf("a"), [1, 2, 3], "what is known passes at once");
  });

  it("passes ephemeral events at once", () => {
    const { modes } = createModes();
    const inner = new RecordingOutlet();
    new JsonGate(inner, modes, 1000, () => undefined).event(new EventFrame(new Uint8Array()));
    assert.equal(inner.frames.length, 1);
  });

  it("is bounded while it holds", () => {
    const { modes } = createModes();
    const gate = new JsonGate(new RecordingOutlet(), modes, 500, () => undefined);
    let taken = 0;
    while (gate.event(message("a", taken + 1))) taken++;
    assert.ok(taken > 1 && taken < 50);
  });

  it("says when what it held does not fit any more", async () => {
    const { modes, asked } = createModes();
    let overflows = 0;
    const inner = new RecordingOutlet(Number.POSITIVE_INFINITY, 1);
    const gate = new JsonGate(inner, modes, 1000, () => overflows++);
    gate.event(message("a", 1));
    gate.event(message("a", 2));
    asked[0]?.();
    await settled();
    assert.equal(overflows, 1);
    assert.deepEqual(inner.seqsOf("a"), [1]);
  });

  it("passes what it holds before the end", () => {
    const { modes } = createModes();
    const inner = new RecordingOutlet();
    const gate = new JsonGate(inner, modes, 1000, () => undefined);
    gate.event(message("a", 1));
    gate.frame(doneFrame(9n));
    gate.end([], createGoodbye(GoodbyeReason.IDLE));
    assert.equal(inner.frames.length, 2);
    assert.equal(inner.goodbye?.reason, GoodbyeReason.IDLE);
  });
});
