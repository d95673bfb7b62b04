/** One session of the load generator: a raw WebSocket that is open and caught up. */
import { setTimeout as sleep } from "node:timers/promises";
import { createFrameReader, heartbeatFrame, openFrame } from "./frames.ts";
import { openRawWebSocket, type RawWebSocket } from "./raw-websocket.ts";

const OPEN_TIMEOUT_MS = 30_000;

export const reader = createFrameReader();

/** Milliseconds that two sessions of this process can compare. */
export const nowMs = (): number => performance.timeOrigin + performance.now();

export async function openSession(port: number, accessToken: string): Promise<RawWebSocket> {
  const socket = await openRawWebSocket({ port, path: "/v1/socket", protocol: "parley.v1.proto" });
  const caughtUp = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => caughtUp.reject(new Error("no caught_up in time")),
    OPEN_TIMEOUT_MS,
  );
  socket.onClose = () =>
    caughtUp.reject(new Error("the server closed the session while it was opened"));
  socket.onFrame = (buffer, start, end) => {
    reader.read(buffer, start, end);
    if (reader.kind === "caught-up") caughtUp.resolve();
  };
  socket.send(openFrame(accessToken));
  await caughtUp.promise.finally(() => clearTimeout(timer));
  socket.onClose = undefined;
  return socket;
}

const OPENINGS_AT_ONCE_MAX = 64;

/** Opens one session per token, some at a time, in the order of the tokens. */
export async function openSessions(
  port: number,
  tokens: readonly string[],
): Promise<RawWebSocket[]> {
  const sessions: RawWebSocket[] = [];
  for (let at = 0; at < tokens.length; at += OPENINGS_AT_ONCE_MAX) {
    const some = tokens.slice(at, at + OPENINGS_AT_ONCE_MAX);
    sessions.push(...(await Promise.all(some.map((token) => openSession(port, token)))));
  }
  return sessions;
}

const HEARTBEAT_INTERVAL_MS = 5_000;

/** Sends heartbeats for sessions, spread over the interval, until it is disposed. */
export function keepAlive(sessions: readonly RawWebSocket[]): Disposable {
  const frame = heartbeatFrame();
  const slices = 50;
  let slice = 0;
  const timer = setInterval(() => {
    for (let at = slice; at < sessions.length; at += slices) sessions[at]?.send(frame);
    slice = (slice + 1) % slices;
  }, HEARTBEAT_INTERVAL_MS / slices);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Waits until nothing has changed for a while, at most so long. */
export async function settle(count: () => number, quietMs: number, maxMs: number): Promise<void> {
  const endMs = nowMs() + maxMs;
  let last = count();
  for (let quietSinceMs = nowMs(); nowMs() < endMs; ) {
    await sleep(20);
    if (count() !== last) {
      last = count();
      quietSinceMs = nowMs();
    } else if (nowMs() - quietSinceMs > quietMs) return;
  }
}
