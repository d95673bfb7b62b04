/** Sessions that misbehave, one that does not, and what each is told. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ClientFrameSchema,
  GoodbyeReason,
  type OpenSchema,
  ReconnectAdvice,
  type Refused,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { createGroup, openDirect, type Person, signUp } from "../harness/people.ts";
import type { TestServer } from "../harness/server.ts";
import { type Ending, openPeer, type Subprotocol, type WebSocketPeer } from "./websocket-peer.ts";

const ENDING_MS_MAX = 15_000; // `open` has 10 s to come

export type ClientFrameInit = MessageInitShape<typeof ClientFrameSchema>;

export type FramesWorld = {
  readonly server: TestServer;
  /** Who misbehaves. */
  readonly sender: Person;
  readonly other: Person;
  readonly groupId: string;
  readonly directId: string;
};

export async function openFramesWorld(server: TestServer): Promise<FramesWorld> {
  const { port } = server;
  const [sender, other] = await Promise.all([signUp(port, "sender"), signUp(port, "other")]);
  const groupId = await createGroup(port, [sender, other]);
  const directId = await openDirect(port, sender, other);
  return { server, sender, other, groupId, directId };
}

export function frame(init: ClientFrameInit) {
  return create(ClientFrameSchema, init);
}

export function openFrame(accessToken: string, open: MessageInitShape<typeof OpenSchema> = {}) {
  const value = { accessToken, positionsComplete: true, ...open };
  return frame({ requestId: 1n, frame: { case: "open", value } });
}

/** Opens a session that is caught up. */
export async function openLive(
  { server }: Pick<FramesWorld, "server">,
  protocol: Subprotocol,
  person: Person,
): Promise<WebSocketPeer> {
  const peer = await openPeer(server.port, protocol);
  peer.send(openFrame(person.accessToken));
  await caughtUp(peer);
  return peer;
}

export function caughtUp(peer: WebSocketPeer): Promise<ServerFrame> {
  return peer.next(({ frame }) => frame.case === "caughtUp", "caught_up");
}

/** The answer to a frame. */
export function answerTo(peer: WebSocketPeer, requestId: bigint): Promise<ServerFrame> {
  return peer.next((answer) => answer.requestId === requestId, `answer to ${requestId}`);
}

export async function refusalOf(peer: WebSocketPeer, requestId: bigint): Promise<Refused> {
  const { frame } = await answerTo(peer, requestId);
  assert.equal(frame.case, "refused", `answered with ${frame.case}`);
  assert.ok(frame.case === "refused");
  return frame.value;
}

let heartbeats = 1_000_000n;

/** The session still answers. */
export async function assertLives(peer: WebSocketPeer): Promise<void> {
  heartbeats += 1n;
  peer.send(frame({ requestId: heartbeats, frame: { case: "heartbeat", value: {} } }));
  assert.equal((await answerTo(peer, heartbeats)).frame.case, "heartbeat");
}

/** A message of one session reaches another one. */
export async function assertDelivers(
  from: WebSocketPeer,
  to: WebSocketPeer,
  conversationId: string,
): Promise<void> {
  heartbeats += 1n;
  const clientMessageId = randomUUID();
  const body = { case: "payload", value: Buffer.from("still here") } as const;
  const value = { conversationId, clientMessageId, body };
  from.send(frame({ requestId: heartbeats, frame: { case: "send", value } }));
  const { frame: answer } = await answerTo(from, heartbeats);
  assert.equal(answer.case, "sent", JSON.stringify(answer.value, stringifyBigint));
  await to.next((told) => isMessage(told, clientMessageId), "message");
}

function isMessage({ frame }: ServerFrame, clientMessageId: string): boolean {
  if (frame.case === "event") return Buffer.from(frame.value).includes(clientMessageId);
  if (frame.case !== "decodedEvent" || frame.value.event.case !== "message") return false;
  return frame.value.event.value.clientMessageId === clientMessageId;
}

const stringifyBigint = (_: string, value: unknown) =>
  typeof value === "bigint" ? String(value) : value;

const ranges: Partial<Record<ReconnectAdvice, readonly [number, number]>> = {
  [ReconnectAdvice.RECONNECT]: [4000, 4499],
  [ReconnectAdvice.STOP]: [4500, 4899],
  [ReconnectAdvice.REAUTHENTICATE]: [4900, 4999],
};

/** How the server ended the connection; rejects if it does not. */
export async function endingOf(peer: WebSocketPeer): Promise<Ending> {
  const late = Promise.withResolvers<never>();
  const waited = new Error("the server did not end the connection");
  const timer = setTimeout(() => late.reject(waited), ENDING_MS_MAX);
  return Promise.race([peer.ended, late.promise]).finally(() => clearTimeout(timer));
}

/** The session ended with this goodbye, and with a close code of the range that its advice has in the contract. */
export async function assertGoodbye(
  peer: WebSocketPeer,
  reason: GoodbyeReason,
  advice: ReconnectAdvice,
): Promise<Ending> {
  const ending = await endingOf(peer);
  assert.ok(ending.goodbye, `ended with ${ending.code} ${ending.reason} and no goodbye`);
  assert.equal(ending.goodbye.reason, reason, ending.goodbye.detail);
  assertAdvice(ending);
  assert.equal(ending.goodbye.reconnect, advice);
  return ending;
}

/** Whatever the goodbye: advice and close code say the same, and it is no failure of the server. */
export function assertAdvice({ code, goodbye }: Ending): void {
  assert.ok(goodbye, `ended with ${code} and no goodbye`);
  assert.notEqual(goodbye.reason, GoodbyeReason.INTERNAL, goodbye.detail);
  const [low, high] = ranges[goodbye.reconnect] ?? [0, 0];
  assert.ok(code !== undefined && code >= low && code <= high, `${code} for ${goodbye.reconnect}`);
}

export function assertProtocolError(peer: WebSocketPeer): Promise<Ending> {
  return assertGoodbye(peer, GoodbyeReason.PROTOCOL_ERROR, ReconnectAdvice.STOP);
}

export function assertUnauthenticated(peer: WebSocketPeer): Promise<Ending> {
  return assertGoodbye(peer, GoodbyeReason.UNAUTHENTICATED, ReconnectAdvice.REAUTHENTICATE);
}
