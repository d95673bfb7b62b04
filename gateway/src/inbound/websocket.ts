/** `/v1/socket`: the handshake, and the sockets that come out of it. */
import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fromUnknown } from "@parley/platform/errors";
import { WebSocketServer } from "ws";
import type { TurnWriter } from "../outbound/turn-writer.ts";
import { FRAME_BYTES_MAX } from "../session/limits.ts";
import type { Origins } from "./origins.ts";
import type { RealtimeDependencies } from "./realtime.ts";
import { hostOf, pathOf } from "./request-handler.ts";
import { SessionSocket } from "./session-socket.ts";
import type { SocketAdmission } from "./socket-admission.ts";

export const SOCKET_PATH = "/v1/socket";
export const PROTOCOL_BINARY = "parley.v1.proto";
export const PROTOCOL_JSON = "parley.v1.json";

export type WebSocketsDependencies = RealtimeDependencies & {
  readonly admission: SocketAdmission;
  readonly origins: Origins;
  readonly writer: TurnWriter;
  /** Told of each frame that came. */
  readonly onFrame: (bytes: number) => void;
};

export type WebSockets = {
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends sockets that were not opened in time, and cuts off those that do not take their goodbye. */
  sweep(nowMs: number): void;
  /** Ends sockets that were not opened yet, because the gateway ends. */
  drain(): void;
};

export function createWebSockets(dependencies: WebSocketsDependencies): WebSockets {
  const { origins, hub, admission } = dependencies;
  const withoutSession = new Set<SessionSocket>();
  const server = new WebSocketServer({
    noServer: true,
    // Compression costs 300 KB per socket, and short messages are not made much shorter by it.
    perMessageDeflate: false,
    clientTracking: false,
    // Pongs go through the session's queue, which is bounded, and not straight to the socket.
    autoPong: false,
    maxPayload: FRAME_BYTES_MAX,
    handleProtocols: (offered) => chooseProtocol([...offered]) ?? false,
    WebSocket: SessionSocket,
  });
  const parts = {
    ...dependencies,
    onSettled: (socket: SessionSocket) => void withoutSession.delete(socket),
  };

  const adopt = (socket: SessionSocket, raw: Socket, address: string) => {
    socket.attach(raw, parts, address);
    withoutSession.add(socket);
  };

  return {
    onUpgrade(request, socket, head) {
      const address = admission.addresses.clientAddress(
        request.socket.remoteAddress,
        request.headers,
      );
      const refused =
        refusalOf(request, origins, hub.draining) ??
        surplusOf(() => admission.takeUpgrade(address));
      if (refused !== undefined) {
        refuseUpgrade(socket, ...refused);
        return;
      }
      server.handleUpgrade(request, socket, head, (opened) => {
        // `WebSocket` above makes every socket of this server one of these.
        adopt(opened as SessionSocket, socket as Socket, address);
      });
    },
    sweep(nowMs) {
      for (const socket of withoutSession) socket.expire(nowMs);
    },
    drain() {
      for (const socket of withoutSession) socket.sayDraining();
    },
  };
}

/** Why an upgrade is refused before it is made: status and text. */
function refusalOf(
  request: IncomingMessage,
  origins: Origins,
  draining: boolean,
): [number, string] | undefined {
  if (pathOf(request) !== SOCKET_PATH) return [404, "There is nothing here."];
  if (draining) return [503, "The server is going away."];
  if (origins.decide(request.headers.origin, hostOf(request)) === "refused") {
    return [403, "Pages of this origin may not use this server."];
  }
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",");
  if (chooseProtocol(offered.map((name) => name.trim())) === undefined) {
    return [400, `Offer the subprotocol ${PROTOCOL_BINARY} or ${PROTOCOL_JSON}.`];
  }
  return undefined;
}

/** As `refusalOf`, for one of too many. */
function surplusOf(take: () => void): [number, string] | undefined {
  try {
    take();
    return undefined;
  } catch (error) {
    return [429, fromUnknown(error).rawMessage];
  }
}

function chooseProtocol(offered: readonly string[]): string | undefined {
  return offered.find((name) => name === PROTOCOL_BINARY || name === PROTOCOL_JSON);
}

function refuseUpgrade(socket: Duplex, status: number, text: string): void {
  socket.on("error", () => undefined);
  const body = `${text}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ];
  socket.end(head.join("\r\n"), () => socket.destroy());
}
