import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { ContentSchema } from "@parley/gen/parley/message/v1/content_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { ServerFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import fc from "fast-check";
import { EventFrame } from "./event-frame.ts";

const content = create(ContentSchema, { kind: { case: "text", value: { text: "hällo" } } });

function messageEvent(payload: Uint8Array): Uint8Array {
  const value = {
    conversationId: "c",
    seq: 7n,
    body: { case: "payload" as const, value: payload },
  };
  return toBinary(EventSchema, create(EventSchema, { event: { case: "message", value } }));
}

/** The payload of a frame that a server made. */
function payloadOf(frame: Buffer): Buffer {
  const length = (frame[1] ?? 0) & 0x7f;
  return frame.subarray(length < 126 ? 2 : length === 126 ? 4 : 10);
}

describe("EventFrame", () => {
  it("is a ServerFrame with the event's own bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000 }), (bytes) => {
        const { frame } = fromBinary(ServerFrameSchema, payloadOf(new EventFrame(bytes).binary));
        assert.equal(frame.case, "event");
        assert.deepEqual(Buffer.from(frame.value as Uint8Array), Buffer.from(bytes));
      }),
      { numRuns: 100 },
    );
  });

  it("builds each form once", () => {
    const frame = new EventFrame(messageEvent(toBinary(ContentSchema, content)), "c", 7);
    frame.decode(true);
    assert.equal(frame.binary, frame.binary);
    assert.equal(frame.text, frame.text);
    assert.equal(frame.serverFrame, frame.serverFrame);
  });

  it("shows content only where the server may read it", () => {
    const shownIn = (serverReadable: boolean) => {
      const frame = new EventFrame(messageEvent(toBinary(ContentSchema, content)), "c", 7);
      frame.decode(serverReadable);
      const decoded = fromJsonString(
        ServerFrameSchema,
        payloadOf(frame.text).toString("utf8"),
      ).frame;
      assert.ok(decoded.case === "decodedEvent" && decoded.value.event.case === "message");
      return decoded.value.event.value;
    };
    assert.deepEqual(shownIn(true).content?.kind, content.kind);
    assert.equal(shownIn(false).content, undefined);
    assert.equal(shownIn(true).body.case, "payload");
  });

  it("leaves a payload that is no content as it is", () => {
    const frame = new EventFrame(messageEvent(new Uint8Array([255, 255, 255])), "c", 7);
    const decoded = frame.decode(true).frame;
    assert.ok(decoded.case === "decodedEvent" && decoded.value.event.case === "message");
    assert.equal(decoded.value.event.value.content, undefined);
  });

  it("knows what has to be asked before it can be shown", () => {
    assert.equal(new EventFrame(new Uint8Array(), "c", 7).decodable, false);
    assert.equal(new EventFrame(new Uint8Array()).decodable, true);
  });
});
