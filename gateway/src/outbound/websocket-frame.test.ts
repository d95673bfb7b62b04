import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as ws from "ws";
import { OPCODE_BINARY, OPCODE_TEXT, websocketFrame } from "./websocket-frame.ts";

type Receiver = {
  on(event: "message", listener: (data: Buffer, binary: boolean) => void): unknown;
  write(chunk: Buffer): unknown;
};
// Exported, and missing in the package's types.
const { Receiver } = ws as unknown as {
  Receiver: new (options: { isServer: boolean }) => Receiver;
};

/** Reads frames with the implementation that clients use. */
function read(chunks: readonly Buffer[]): { data: Buffer; binary: boolean }[] {
  const messages: { data: Buffer; binary: boolean }[] = [];
  const receiver = new Receiver({ isServer: false });
  receiver.on("message", (data, binary) => messages.push({ data, binary }));
  for (const chunk of chunks) receiver.write(chunk);
  return messages;
}

describe("websocketFrame", () => {
  it("is what clients read, at every size of header", () => {
    const length = fc.oneof(fc.nat(130), fc.integer({ min: 65_530, max: 65_540 }), fc.nat(300_000));
    fc.assert(
      fc.property(fc.array(length, { minLength: 1, maxLength: 5 }), (lengths) => {
        const payloads = lengths.map((bytes, index) => Buffer.alloc(bytes, index + 1));
        const frames = payloads.map((payload) => websocketFrame(OPCODE_BINARY, payload));
        const messages = read([Buffer.concat(frames)]);
        assert.deepEqual(
          messages.map(({ data }) => data),
          payloads,
        );
        assert.ok(messages.every(({ binary }) => binary));
      }),
      { numRuns: 50 },
    );
  });

  it("marks text", () => {
    const [message] = read([websocketFrame(OPCODE_TEXT, Buffer.from("{}"))]);
    assert.deepEqual(message, { data: Buffer.from("{}"), binary: false });
  });
});
