/** The shortest road: binary frames over a WebSocket at `/v1/socket`. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  ClientFrameSchema,
  OpenSchema,
  ReconnectAdvice,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { createDeferred } from "../async/deferred.ts";
import { withinMs } from "../async/sleep.ts";
import { clientError } from "../errors.ts";
import type { Timing } from "../timing.ts";
import { OPEN_REQUEST_ID, type Road, type RoadHandlers } from "./road.ts";

/** What is used of a WebSocket: the browser's, Node's, and the `ws` package's are all such. */
export type WebSocketLike = {
  binaryType: string;
  readonly readyState: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
};

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

const SUBPROTOCOL = "parley.v1.proto";
const STATE_OPEN = 1;
const STATE_CLOSED = 3;
const CLOSE_NORMAL = 1000;

/** Creates the road to the server at `url` (http or https). */
export function createWebSocketRoad(options: {
  readonly url: string;
  readonly webSocket: WebSocketConstructor;
  readonly timing: Pick<Timing, "closeTimeoutMs">;
}): Road {
  const url = `${options.url.replace(/^http/, "ws")}/v1/socket`;
  return {
    name: "websocket",
    heartbeats: true,
    open(open, accessToken, handlers) {
      const socket = new options.webSocket(url, [SUBPROTOCOL]);
      socket.binaryType = "arraybuffer";
      const first = create(ClientFrameSchema, {
        requestId: OPEN_REQUEST_ID,
        frame: { case: "open", value: create(OpenSchema, { ...open, accessToken }) },
      });
      socket.onopen = () => socket.send(toBinary(ClientFrameSchema, first));
      const detach = attach(socket, handlers);
      return {
        send(frame) {
          // A socket that is closing drops what it is given; `onclose` follows and settles every request.
          if (socket.readyState === STATE_OPEN) socket.send(toBinary(ClientFrameSchema, frame));
        },
        async close() {
          detach();
          if (socket.readyState === STATE_CLOSED) return;
          const closed = createDeferred<void>();
          socket.onclose = () => closed.resolve();
          socket.close(CLOSE_NORMAL);
          await withinMs(options.timing.closeTimeoutMs, closed.promise);
        },
        abandon() {
          detach();
          socket.close(CLOSE_NORMAL);
        },
      };
    },
  };
}

function attach(socket: WebSocketLike, handlers: RoadHandlers): () => void {
  const detach = () => {
    socket.onmessage = null;
    socket.onclose = null;
    // A socket without this listener would throw in Node when it fails while connecting.
    socket.onerror = () => {};
  };
  socket.onerror = () => {};
  socket.onmessage = (event: { readonly data: unknown }) => {
    if (!(event.data instanceof ArrayBuffer)) return;
    try {
      handlers.onFrame(fromBinary(ServerFrameSchema, new Uint8Array(event.data)));
    } catch (error) {
      detach();
      socket.close(CLOSE_NORMAL);
      handlers.onEnd(clientError(Code.Internal, "PROTOCOL", "A frame was not readable.", error));
    }
  };
  socket.onclose = (event: { readonly code: number; readonly reason: string }) => {
    detach();
    const text = event.reason === "" ? "" : `: ${event.reason}`;
    handlers.onEnd(
      clientError(Code.Unavailable, "NETWORK", `The WebSocket closed (${event.code})${text}.`),
      adviceOf(event.code),
    );
  };
  return detach;
}

/** The ranges of close codes that the contract gives (`ReconnectAdvice`). */
export function adviceOf(closeCode: number): ReconnectAdvice {
  if (closeCode >= 4900 && closeCode < 5000) return ReconnectAdvice.REAUTHENTICATE;
  if (closeCode >= 4500 && closeCode < 4900) return ReconnectAdvice.STOP;
  return ReconnectAdvice.RECONNECT;
}
