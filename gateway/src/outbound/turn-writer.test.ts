import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EventFrame } from "./event-frame.ts";
import { type QueuedFrame, TurnWriter } from "./turn-writer.ts";

const event = (byte: number) => new EventFrame(new Uint8Array([byte]));
const nextTurn = () => new Promise((next) => setImmediate(next));

describe("TurnWriter", () => {
  it("gives sockets with the same frames the same buffer", async () => {
    const written: Buffer[] = [];
    const writer = new TurnWriter(
      () => undefined,
      (error) => assert.fail(String(error)),
    );
    const frames = [event(1), event(2), event(3)];
    const target = (queue: readonly QueuedFrame[]) => ({
      flush: (by: TurnWriter) => void written.push(by.join(queue, false)),
      destroy: assert.fail,
    });
    const other = [event(1), event(2), Buffer.from("answer")];
    for (const queue of [frames, [...frames], other, [...frames]]) writer.schedule(target(queue));
    assert.equal(written.length, 0, "nothing is written within the turn");
    await nextTurn();
    assert.equal(written[0], written[1]);
    assert.deepEqual(
      written[2],
      Buffer.concat([event(1).binary, event(2).binary, other[2] as Buffer]),
    );
    assert.deepEqual(written[3], written[0]);
  });

  it("gives up a socket whose frames cannot be written, and writes to the others", async () => {
    const problems: unknown[] = [];
    const writer = new TurnWriter(
      () => undefined,
      (error) => problems.push(error),
    );
    const happened: string[] = [];
    const broken = new Error("no text for the year 10000");
    writer.schedule({
      flush: () => {
        throw broken;
      },
      destroy: () => happened.push("given up"),
    });
    writer.schedule({ flush: () => happened.push("written"), destroy: assert.fail });
    await nextTurn();
    assert.deepEqual(happened, ["given up", "written"]);
    assert.deepEqual(problems, [broken]);
  });

  it("keeps text and binary apart", async () => {
    const written: Buffer[] = [];
    const writer = new TurnWriter(
      () => undefined,
      (error) => assert.fail(String(error)),
    );
    const frames = [new EventFrame(new Uint8Array()), new EventFrame(new Uint8Array())];
    for (const text of [false, true]) {
      writer.schedule({
        flush: (by) => void written.push(by.join(frames, text)),
        destroy: assert.fail,
      });
    }
    await nextTurn();
    assert.notDeepEqual(written[0], written[1]);
  });

  it("says what a turn wrote, and which events are written", async () => {
    const turns: [number, number][] = [];
    const writer = new TurnWriter(
      (frames, bytes) => turns.push([frames, bytes]),
      (error) => assert.fail(String(error)),
    );
    const traced = event(1);
    let written = false;
    traced.onWritten = () => {
      written = true;
    };
    writer.afterTurn(traced);
    writer.schedule({
      flush: (by) => void by.join([traced, event(2)], false),
      destroy: assert.fail,
    });
    await nextTurn();
    assert.equal(written, true);
    assert.deepEqual(turns, [[2, traced.binary.length + event(2).binary.length]]);
  });
});
