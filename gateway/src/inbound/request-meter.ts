/** Counts a request's bytes on the wire, headers and framing included, for the session that it belongs to. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Socket } from "node:net";
import type { EdgeRequest, EdgeResponse } from "@parley/platform/rpc/edge-host";
import type { WireBytes } from "../outbound/outlet.ts";

export type RequestMeter = {
  /** Bytes since the request began. On HTTP/2 those of requests beside it on the connection too. */
  measure(): WireBytes;
  /** Called with the whole, after the answer. */
  onFinished: ((bytes: WireBytes) => void) | undefined;
};

type Counters = Pick<Socket, "bytesRead" | "bytesWritten">;

const storage = new AsyncLocalStorage<RequestMeter>();
/** Up to where a connection's bytes were counted: a request's own headers are read before it begins. */
const counted = new WeakMap<object, WireBytes>();
const NOTHING: WireBytes = { bytesIn: 0, bytesOut: 0 };

/** The meter of the request that is being handled. */
export function currentMeter(): RequestMeter | undefined {
  return storage.getStore();
}

/** Handles a request with a meter. */
export function runMetered(request: EdgeRequest, response: EdgeResponse, handle: () => void): void {
  const socket = countersOf(request);
  const start = counted.get(socket) ?? NOTHING;
  let latest = start;
  const measure = (): WireBytes => {
    latest = readCounters(socket) ?? latest;
    return { bytesIn: latest.bytesIn - start.bytesIn, bytesOut: latest.bytesOut - start.bytesOut };
  };
  const meter: RequestMeter = { measure, onFinished: undefined };
  response.once("close", () => {
    const bytes = measure();
    counted.set(socket, latest);
    meter.onFinished?.(bytes);
  });
  storage.run(meter, handle);
}

/** Undefined when an HTTP/2 connection was lost below its streams: its socket then throws at every access. */
function readCounters(socket: Counters): WireBytes | undefined {
  try {
    return { bytesIn: socket.bytesRead, bytesOut: socket.bytesWritten };
  } catch {
    return undefined;
  }
}

/** The connection behind a request; the same object for every request on it. */
function countersOf(request: EdgeRequest): Counters & object {
  return "stream" in request ? (request.stream.session?.socket ?? request.socket) : request.socket;
}
