// A server that was put back from an older copy. Goal: devices that have what the server lost are told so, by name, and
// nobody else is disturbed. Method: people chat over raw frames on a real server; its whole data directory is copied while
// it is stopped; they chat on; the copy takes the directory's place, and they come back with the positions that they have.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cp, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import type { ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import { call, createGroup, openDirect, type Person, signUp } from "../harness/people.ts";
import { startTestServer, type TestServer } from "../harness/server.ts";
import { answerTo, frame, openFrame } from "../wire/frames-world.ts";
import {
  openPeer,
  type Subprotocol,
  subprotocols,
  type WebSocketPeer,
} from "../wire/websocket-peer.ts";

type Position = { conversationId: string; seq: bigint; messageId: bigint };

let root: string;
let data: string;
let server: TestServer;
let ana: Person;
let ben: Person;
/** Chatted in before and after the copy; the same, and then to beyond where it was; only before; only after. */
let busy: string;
let overtaken: string;
let quiet: string;
let late: string;
/** A group that Ben left before the copy, and that went on without him. */
let left: string;
/** What Ben's device has at the end of the history that is lost. */
let positions: Position[];
/** How far the server is with them after it was put back. */
let restoredSeq: Map<string, bigint>;

const start = async () => {
  server = await startTestServer({ dataDirectory: data });
};

before(async () => {
  root = await mkdtemp(join(tmpdir(), "parley-restore-"));
  data = join(root, "data");
  await start();
  [ana, ben] = await Promise.all([signUp(server.port, "ana"), signUp(server.port, "ben")]);
  busy = await openDirect(server.port, ana, ben);
  [overtaken, quiet, left] = (await Promise.all(
    [0, 1, 2].map(() => createGroup(server.port, [ana, ben])),
  )) as [string, string, string];
  for (const id of [busy, overtaken, quiet, left]) await chat(id, 3);
  await leave(left);
  await say(left, ana);
  restoredSeq = new Map((await positionsOf(ben)).map((at) => [at.conversationId, at.seq]));
  await server[Symbol.asyncDispose]();
  await cp(data, join(root, "copy"), { recursive: true });
  await start();
  for (const id of [busy, overtaken]) await chat(id, 2);
  late = await createGroup(server.port, [ana, ben]);
  await chat(late, 1);
  positions = await positionsOf(ben);
  await server[Symbol.asyncDispose]();
  await rm(data, { recursive: true });
  await rename(join(root, "copy"), data);
  await start();
  await chat(overtaken, 5);
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

/** Both say something, so many times. */
async function chat(conversationId: string, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await say(conversationId, ana);
    await say(conversationId, ben);
  }
}

async function say(conversationId: string, person: Person): Promise<void> {
  const body = { conversationId, clientMessageId: randomUUID(), payload: "AQ==" };
  await call(server.port, "parley.message.v1.MessageService/SendMessage", body, person.accessToken);
}

async function leave(conversationId: string): Promise<void> {
  const method = "parley.conversation.v1.ConversationService/LeaveConversation";
  await call(server.port, method, { conversationId }, ben.accessToken);
}

/** Opens a session and returns what came until it was caught up. */
async function comeBack(
  person: Person,
  given: Position[],
  protocol: Subprotocol = "parley.v1.proto",
) {
  const peer = await openPeer(server.port, protocol);
  peer.send(openFrame(person.accessToken, { positions: given, catchUpMessagesMax: 1000 }));
  const last = await peer.next(({ frame }) => frame.case === "caughtUp", "caught_up");
  assert.ok(last.frame.case === "caughtUp");
  const history = peer.frames.slice(0, peer.frames.indexOf(last)).flatMap(messagesOf);
  const diverged = new Map(
    last.frame.value.diverged.map(({ conversationId, lastSeq }) => [conversationId, lastSeq]),
  );
  return { peer, history, diverged, skipped: last.frame.value.skipped };
}

function messagesOf({ frame }: ServerFrame) {
  if (frame.case !== "event" && frame.case !== "decodedEvent") return [];
  const event = frame.case === "event" ? fromBinary(EventSchema, frame.value) : frame.value;
  return event.event.case === "message" ? [event.event.value] : [];
}

/** Where a device is that has everything. */
async function positionsOf(person: Person): Promise<Position[]> {
  const { peer, history } = await comeBack(person, []);
  await peer[Symbol.asyncDispose]();
  const newest = new Map<string, Position>();
  for (const { conversationId, seq, messageId } of history) {
    newest.set(conversationId, { conversationId, seq, messageId });
  }
  return [...newest.values()];
}

const seqsOf = (history: ReturnType<typeof messagesOf>, id: string) =>
  history.filter(({ conversationId }) => conversationId === id).map(({ seq }) => seq);

describe("a server that was put back from an older copy", () => {
  for (const protocol of subprotocols) {
    it(`names the conversations of which a device has what is lost, over ${protocol}`, async () => {
      const { peer, history, diverged, skipped } = await comeBack(ben, positions, protocol);
      await using _ = peer;
      assert.deepEqual(
        positions.map(({ conversationId }) => conversationId).toSorted(),
        [busy, overtaken, quiet, left, late].toSorted(),
      );
      const lost = positions.find(({ conversationId }) => conversationId === overtaken)?.seq ?? 0n;
      const overtakenSeq = diverged.get(overtaken) ?? 0n;
      assert.ok(overtakenSeq > lost, "another entry is at the device's position");
      const wanted = { [busy]: restoredSeq.get(busy), [overtaken]: overtakenSeq, [late]: 0n };
      assert.deepEqual(Object.fromEntries(diverged), wanted);
      assert.deepEqual(history, [], "nothing of them is sent, and nothing else is missing");
      assert.deepEqual(skipped, []);
    });
  }

  it("goes on live with the session, from where the server is", async () => {
    const { peer, diverged } = await comeBack(ben, positions);
    await using _ = peer;
    const lastSeq = diverged.get(busy) ?? 0n;
    await say(busy, ana);
    const told = await peer.next((one) => seqsOf(messagesOf(one), busy).length > 0, "a message");
    assert.deepEqual(seqsOf(messagesOf(told), busy), [lastSeq + 1n]);
  });

  it("gives everything to a device that dropped what diverged", async () => {
    const first = await comeBack(ben, positions);
    await first.peer[Symbol.asyncDispose]();
    const kept = positions.filter(({ conversationId }) => !first.diverged.has(conversationId));
    const { peer, history, diverged } = await comeBack(ben, kept);
    await using _ = peer;
    assert.deepEqual(diverged, new Map());
    const lastSeq = first.diverged.get(overtaken) ?? 0n;
    const all = Array.from({ length: Number(lastSeq) }, (_one, index) => BigInt(index + 1));
    assert.deepEqual(seqsOf(history, overtaken), all);
    assert.deepEqual(seqsOf(history, quiet), []);
  });

  it("does not disturb a device that says no ids, or that has nothing", async () => {
    const withoutIds = positions.map((at) => ({ ...at, messageId: 0n }));
    for (const given of [withoutIds, []]) {
      const { peer, diverged } = await comeBack(ben, given);
      await using _ = peer;
      assert.deepEqual(diverged, new Map());
    }
  });

  it("says nothing to a device whose own message is newer than anything in its inbox", async () => {
    const sender = await comeBack(ana, await positionsOf(ana));
    await using _ = sender.peer;
    for (let round = 1n; round <= 20n; round++) {
      const at = await send(sender.peer, quiet, round);
      const { peer, diverged } = await comeBack(ana, [at]);
      await using _again = peer;
      assert.deepEqual(diverged, new Map());
    }
  });
});

async function send(peer: WebSocketPeer, conversationId: string, round: bigint): Promise<Position> {
  const requestId = 100n + round;
  const body = { case: "payload", value: new Uint8Array([1]) } as const;
  const value = { conversationId, clientMessageId: randomUUID(), body };
  peer.send(frame({ requestId, frame: { case: "send", value } }));
  const { frame: answer } = await answerTo(peer, requestId);
  assert.ok(answer.case === "sent");
  return { conversationId, seq: answer.value.seq, messageId: answer.value.messageId };
}
