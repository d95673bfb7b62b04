// Invariant 5. Goal: a client that stops reading costs the server bounded memory and nobody else anything, is told that
// it was too slow, and misses nothing. Method: a group is written to while one member's socket is paused, once briefly
// and once for ever; the server is a process of its own, whose memory is what the kernel counts.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { MessageService, ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import {
  ClientFrameSchema,
  GoodbyeReason,
  ReconnectAdvice,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { keepAlive, openSession } from "../bench/load-session.ts";
import { openRawWebSocket } from "../bench/raw-websocket.ts";
import { eventually } from "../harness/clients.ts";
import { createGroup, type Person, signUp } from "../harness/people.ts";
import { testEnvironment } from "../harness/server.ts";
import { freePort, type ServerProcess, startServerProcess } from "../harness/server-process.ts";
import { descriptors, MIB, ownBytes, watchMemory } from "./process-memory.ts";
import { newTold, openWriters, PAYLOAD_BYTES, type Told, takeDown } from "./slow-reader-load.ts";

const WARM_UP_BYTES = 96 * MIB;
const STALLED_BYTES = 256 * MIB;
/** Far below what was written meanwhile, and above how much a busy server's memory goes up and down by itself. */
const GROWTH_BYTES_MAX = 64 * MIB;
const SLOWDOWN_MAX = 2;
/** The server gives a client this long to take its goodbye, and then cuts it off. */
const CLOSING_MS_MAX = 30_000;

it("a slow reader costs bounded memory and misses nothing", { timeout: 180_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "parley-slow-"));
  const port = await freePort();
  const environment = { ...testEnvironment, PARLEY_GATEWAY_PORT: String(port) };
  try {
    await using server = await startServerProcess({ directory, port, environment });
    const names = ["ana", "ben", "cleo", "reader", "slow", "stuck"];
    const people = await Promise.all(names.map((name) => signUp(port, name)));
    const [, , , observer, slow, stuck] = people as [
      Person,
      Person,
      Person,
      Person,
      Person,
      Person,
    ];
    const conversationId = await createGroup(port, people);
    using writers = await openWriters(
      port,
      people.slice(0, 3).map((person) => person.accessToken),
      conversationId,
    );

    const seen = newTold();
    const observing = await openSession(port, observer.accessToken);
    takeDown(observing, conversationId, seen, () => {});
    const told = newTold();
    const stalling = await openSession(port, slow.accessToken);
    const ended = new Promise<void>((resolve) => {
      stalling.onClose = resolve;
    });
    takeDown(stalling, conversationId, told, () => {});
    using _ = keepAlive([observing]);

    const before = await writers.write(WARM_UP_BYTES / PAYLOAD_BYTES);
    const sockets = descriptors(server.pid);
    const stopping = await openSession(port, stuck.accessToken);
    stopping.socket.pause();
    stalling.socket.pause();

    const bytesBefore = ownBytes(server.pid);
    using memory = watchMemory(server.pid);
    const during = await writers.write(STALLED_BYTES / PAYLOAD_BYTES);
    const grownBytes = memory.peakBytes - bytesBefore;
    t.diagnostic(
      `server memory ${mib(bytesBefore)} MiB before, ${mib(memory.peakBytes)} MiB at most, ` +
        `${mib(ownBytes(server.pid))} MiB after ${mib(STALLED_BYTES)} MiB that two clients did not read`,
    );
    for (const [name, run] of Object.entries({ before, during })) {
      const { perSecond, ackP50Ms, ackP99Ms } = run;
      t.diagnostic(
        `${name}: ${perSecond.toFixed(0)} messages/s, ack p50 ${ackP50Ms.toFixed(1)} ms, p99 ${ackP99Ms.toFixed(1)} ms`,
      );
    }
    assert.ok(grownBytes < GROWTH_BYTES_MAX, `the server grew by ${mib(grownBytes)} MiB`);
    assert.ok(during.perSecond > before.perSecond / SLOWDOWN_MAX, "the others were slowed down");

    stalling.socket.resume();
    await ended;
    assertToldSlow(told);
    t.diagnostic(`the slow client had ${told.seqs.length} entries when it was given up`);

    const head = await headOf(seen);
    const beganMs = performance.now();
    await catchUp(server, slow, conversationId, told, head);
    t.diagnostic(`it was caught up after ${(performance.now() - beganMs).toFixed(0)} ms`);
    assert.deepEqual([...new Set(told.seqs)].sort(numerically), range(told.seqs[0] ?? 1, head));
    assert.deepEqual(
      seen.seqs,
      range(seen.seqs[0] ?? 1, head),
      "the reader was told everything once",
    );

    await eventuallyWithin(CLOSING_MS_MAX + 5_000, "the client that never read is cut off", () => {
      return descriptors(server.pid) <= sockets;
    });
    stopping.close();
    observing.close();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

function assertToldSlow({ resync, goodbye, seqs }: Told): void {
  assert.ok(resync, "resync_required came");
  assert.ok(goodbye, "goodbye came");
  assert.equal(goodbye.reason, GoodbyeReason.SLOW_CONSUMER);
  assert.equal(goodbye.reconnect, ReconnectAdvice.RECONNECT);
  assert.deepEqual(seqs, range(seqs[0] ?? 1, seqs.at(-1) ?? 0), "what came before is in order");
}

/** Waits until the reader has been told everything, and returns the newest place. */
async function headOf(seen: Told): Promise<number> {
  let last = -1;
  await eventually("the reader is told everything", () => {
    const now = seen.seqs.at(-1) ?? 0;
    const still = now === last;
    last = now;
    return still;
  });
  return last;
}

/** Comes back with the highest place without a gap, and reads what catch-up left out. */
async function catchUp(
  server: ServerProcess,
  person: Person,
  conversationId: string,
  told: Told,
  head: number,
): Promise<void> {
  const { port, url } = server;
  const session = await openRawWebSocket({ port, path: "/v1/socket", protocol: "parley.v1.proto" });
  const caughtUp = new Promise<void>((resolve) => {
    takeDown(session, conversationId, told, () => {
      if (told.seqs.at(-1) === head) resolve();
    });
  });
  const positions = [{ conversationId, seq: BigInt(told.seqs.at(-1) ?? 0) }];
  const value = { accessToken: person.accessToken, positions, positionsComplete: true };
  session.send(
    toBinary(ClientFrameSchema, create(ClientFrameSchema, { frame: { case: "open", value } })),
  );
  await caughtUp;
  session.close();

  const headers = { authorization: `Bearer ${person.accessToken}` };
  const messages = createClient(MessageService, createGrpcTransport({ baseUrl: url }));
  const direction = ReadDirection.NEWER;
  for (const { firstSeq, lastSeq } of told.skipped) {
    for (let fromSeq = firstSeq - 1n; fromSeq < lastSeq; ) {
      const page = await messages.listMessages({ conversationId, fromSeq, direction }, { headers });
      for (const { seq } of page.messages) told.seqs.push(Number(seq));
      fromSeq = page.messages.at(-1)?.seq ?? lastSeq;
    }
  }
}

const numerically = (left: number, right: number) => left - right;

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(0);
}

async function eventuallyWithin(
  ms: number,
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
