/** The roads of the in-test server: WebSocket, `Subscribe` and `Poll` with `Submit`. */
import type { Server } from "node:http";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  ClientFrameSchema,
  GoodbyeReason,
  ReconnectAdvice,
  type ServerFrame,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { type WebSocket, WebSocketServer } from "ws";
import { createAsyncQueue } from "../async/queue.ts";
import type { RoadName } from "../session/road.ts";
import { refusal, type TestDevice, type TestModel } from "./test-model.ts";
import type { TestSession, TestSessions } from "./test-sessions.ts";

export type RoadWorld = {
  readonly model: TestModel;
  readonly sessions: TestSessions;
  /** Roads that a proxy on the way does not let through. */
  readonly closedRoads: Set<RoadName>;
  readonly deviceOf: (context: HandlerContext) => TestDevice;
};

const CLOSE_LOST = 1006;

/** Serves WebSockets at `/v1/socket`; the returned function ends them. */
export function serveWebSockets(server: Server, world: RoadWorld): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has("parley.v1.proto") ? "parley.v1.proto" : false),
  });
  server.on("upgrade", (request, socket, head) => {
    if (world.closedRoads.has("websocket") || request.url !== "/v1/socket") {
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => serveSocket(webSocket, world));
  });
  return () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
  };
}

function serveSocket(socket: WebSocket, { model, sessions }: RoadWorld): void {
  let session: TestSession | undefined;
  const deliver = (frame: ServerFrame) => socket.send(toBinary(ServerFrameSchema, frame));
  const end = (goodbye?: ServerFrame) => {
    if (!goodbye) return socket.terminate();
    deliver(goodbye);
    socket.close(4000);
  };
  const refuse = (reason: GoodbyeReason, reconnect: ReconnectAdvice) =>
    end(create(ServerFrameSchema, { frame: { case: "goodbye", value: { reason, reconnect } } }));
  socket.on("message", (data: Buffer) => {
    const frame = fromBinary(ClientFrameSchema, data);
    if (session) {
      const answer = sessions.handle(session, frame);
      if (answer && !session.over) deliver(answer);
    } else if (frame.frame.case === "open") {
      try {
        const device = model.authenticate(frame.frame.value.accessToken);
        session = sessions.openSession(
          device,
          frame.frame.value,
          { deliver, end },
          frame.requestId,
        );
      } catch {
        refuse(GoodbyeReason.UNAUTHENTICATED, ReconnectAdvice.REAUTHENTICATE);
      }
    } else refuse(GoodbyeReason.PROTOCOL_ERROR, ReconnectAdvice.STOP);
  });
  socket.on("close", () => session && sessions.forget(session));
  socket.on("error", () => socket.close(CLOSE_LOST));
}

/** A polled session's frames, each with its place, until they are acknowledged. */
type Polled = {
  readonly session: TestSession;
  readonly frames: { readonly cursor: bigint; readonly frame: ServerFrame }[];
  cursor: bigint;
  wake: () => void;
};

export function registerRealtime(router: ConnectRouter, world: RoadWorld): void {
  const { sessions, closedRoads, deviceOf } = world;
  const polled = new Map<string, Polled>();
  const closed = (road: RoadName) => {
    if (closedRoads.has(road)) throw refusal(Code.Unimplemented, "CLOSED_ROAD", "Not here.");
  };
  router.service(RealtimeService, {
    async *subscribe({ open }, context) {
      closed("connect");
      if (!open) throw refusal(Code.InvalidArgument, "INVALID_FIELD", "open is missing.");
      const queue = createAsyncQueue<ServerFrame>(100_000);
      const session = sessions.openSession(deviceOf(context), open, {
        deliver: (frame) => void queue.push(frame),
        end: (goodbye) => {
          if (goodbye) queue.push(goodbye);
          queue.close(goodbye ? undefined : refusal(Code.Unavailable, "CUT", "Cut."));
        },
      });
      const onAbort = () => queue.close();
      context.signal.addEventListener("abort", onAbort, { once: true });
      try {
        for await (const frame of queue) yield { frame };
      } finally {
        sessions.forget(session);
      }
    },
    submit({ sessionId, frames }, context) {
      const session = sessions.sessions.get(sessionId);
      if (!session || session.device !== deviceOf(context)) throw sessionNotFound();
      const answers = frames.map((frame) => sessions.handle(session, frame));
      const closed = frames.some(({ frame }) => frame.case === "close");
      if (session.over && !closed) throw sessionNotFound();
      return { frames: answers.filter((answer) => answer !== undefined) };
    },
    async poll(request, context) {
      closed(request.wait && durationMs(request.wait) > 0 ? "long-poll" : "short-poll");
      const device = deviceOf(context);
      const entry = request.open
        ? openPolled(world, polled, device, request.open)
        : polled.get(request.sessionId);
      if (!entry || entry.session.device !== device) throw sessionNotFound();
      const acknowledged = request.acknowledgedCursor;
      const kept = entry.frames.findIndex(({ cursor }) => cursor > acknowledged);
      entry.frames.splice(0, kept < 0 ? entry.frames.length : kept);
      if (entry.frames.length === 0 && entry.session.over) throw sessionNotFound();
      const waitMs = request.wait ? durationMs(request.wait) : 0;
      if (entry.frames.length === 0 && waitMs > 0)
        await waitForFrame(entry, waitMs, context.signal);
      const page = entry.frames.slice(0, request.framesMax === 0 ? 100 : request.framesMax);
      return {
        sessionId: entry.session.id,
        frames: page.map(({ frame }) => frame),
        cursor: page.at(-1)?.cursor ?? acknowledged,
      };
    },
  });
}

function openPolled(
  { sessions }: RoadWorld,
  polled: Map<string, Polled>,
  device: TestDevice,
  open: Parameters<TestSessions["openSession"]>[1],
): Polled {
  const frames: Polled["frames"] = [];
  const state = { cursor: 0n, wake: () => {} };
  const deliver = (frame: ServerFrame) => {
    state.cursor++;
    frames.push({ cursor: state.cursor, frame });
    state.wake();
  };
  const end = (goodbye?: ServerFrame) => {
    if (goodbye) deliver(goodbye);
    else frames.length = 0;
    state.wake();
  };
  const session = sessions.openSession(device, open, { deliver, end });
  const entry = Object.assign(state, { session, frames });
  polled.set(session.id, entry);
  return entry;
}

function waitForFrame(entry: Polled, waitMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      entry.wake = () => {};
      resolve();
    };
    const timer = setTimeout(done, waitMs);
    signal.addEventListener("abort", done, { once: true });
    entry.wake = done;
    if (signal.aborted) done();
  });
}

function sessionNotFound() {
  return refusal(Code.NotFound, "SESSION_NOT_FOUND", "There is no such session.");
}
