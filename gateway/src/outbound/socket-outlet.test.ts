import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createGoodbye, goodbyeFrame } from "../session/goodbye.ts";
import { resyncFrame } from "../session/server-frames.ts";
import { EventFrame } from "./event-frame.ts";
import { SocketOutlet } from "./socket-outlet.ts";
import { TurnWriter } from "./turn-writer.ts";

type Pair = AsyncDisposable & {
  server: Socket;
  client: Socket;
  outlet: SocketOutlet;
  closed: number;
  turns: number[];
};

/** A real connection with an outlet at its server's end. */
async function createPair(options: { text?: boolean; queueBytesMax?: number } = {}): Promise<Pair> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const accepted = once(listener, "connection") as Promise<[Socket]>;
  const client = connect(address.port, "127.0.0.1");
  client.pause();
  const [server] = await accepted;
  const turns: number[] = [];
  const pair: Pair = {
    server,
    client,
    turns,
    closed: 0,
    outlet: new SocketOutlet({
      socket: server,
      writer: new TurnWriter(
        (frames) => turns.push(frames),
        (error) => assert.fail(String(error)),
      ),
      text: options.text ?? false,
      queueBytesMax: options.queueBytesMax ?? 1024 * 1024,
      close: () => {
        pair.closed++;
        server.end();
      },
    }),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
  return pair;
}

const event = (bytes: number) => new EventFrame(new Uint8Array(bytes));

async function readAll(client: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of client) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("SocketOutlet", () => {
  it("writes what one turn brings in one piece, in order", async () => {
    await using pair = await createPair();
    const frames = Array.from({ length: 100 }, (_, index) => event(index));
    for (const frame of frames) assert.equal(pair.outlet.event(frame), true);
    pair.outlet.end([], createGoodbye(GoodbyeReason.SERVER_DRAINING));
    const read = await readAll(pair.client);
    assert.deepEqual(read, Buffer.concat(frames.map((frame) => frame.binary)));
    assert.deepEqual(pair.turns, [100]);
    assert.equal(pair.closed, 1);
  });

  it("holds no more than its bound of what the client does not read", async () => {
    const queueBytesMax = 1024 * 1024;
    await using pair = await createPair({ queueBytesMax });
    let taken = 0;
    while (pair.outlet.event(event(16 * 1024))) {
      taken++;
      assert.ok(taken < 10_000, "the bound is never reached");
      if (taken % 8 === 0) await new Promise((next) => setImmediate(next));
    }
    assert.ok(pair.server.writableLength <= queueBytesMax);
    assert.equal(pair.outlet.writable, false);
    assert.ok(pair.outlet.waitingFrames > 0);

    const waiting = pair.outlet.waitingFrames;
    pair.outlet.dropEvents();
    assert.ok(pair.outlet.waitingFrames < waiting);
    const last = [resyncFrame(1), goodbyeFrame(createGoodbye(GoodbyeReason.SLOW_CONSUMER))];
    pair.outlet.end(last, createGoodbye(GoodbyeReason.SLOW_CONSUMER));
    assert.equal(pair.closed, 0, "the goodbye waits behind what the kernel holds");
    const read = await readAll(pair.client);
    assert.ok(read.includes("Events came faster"), "the goodbye arrives");
    assert.equal(pair.closed, 1);
  });

  it("keeps answers when events are dropped", async () => {
    await using pair = await createPair();
    pair.outlet.event(event(10));
    pair.outlet.frame(resyncFrame(7));
    pair.outlet.dropEvents();
    assert.equal(pair.outlet.waitingFrames, 1);
  });

  it("tells once when it is writable again", async () => {
    await using pair = await createPair({ queueBytesMax: 8 * 1024 * 1024 });
    while (pair.outlet.writable) {
      pair.outlet.event(event(64 * 1024));
      await new Promise((next) => setImmediate(next));
    }
    let told = 0;
    const writable = new Promise<void>((resolve) => {
      pair.outlet.onWritable = () => {
        told++;
        resolve();
      };
    });
    pair.client.resume();
    await writable;
    assert.equal(pair.outlet.writable, true);
    assert.equal(told, 1);
  });

  it("lets an entry through that is larger than the bound when nothing waits", async () => {
    await using pair = await createPair({ queueBytesMax: 1000 });
    assert.equal(pair.outlet.event(event(5000)), true);
  });

  it("counts what is on the wire", async () => {
    await using pair = await createPair();
    pair.outlet.event(event(100));
    pair.client.resume();
    await once(pair.client, "data");
    assert.equal(pair.outlet.wire().bytesOut, event(100).binary.length);
  });
});
