/** `RealtimeService.Connect`: a session in both directions, for gRPC clients. */
import type { HandlerContext } from "@connectrpc/connect";
import {
  type ClientFrame,
  GoodbyeReason,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { ConnectRequest } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { fromUnknown } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import { StreamOutlet } from "../outbound/stream-outlet.ts";
import { createGoodbye, goodbyeFrame, SessionRefusedError } from "../session/goodbye.ts";
import { OPEN_MS_MAX } from "../session/limits.ts";
import type { Session } from "../session/session.ts";
import { gateFor, goodbyeOf, type RealtimeDependencies, streamWire } from "./realtime.ts";
import { isJson } from "./road.ts";

type Requests = AsyncIterator<ConnectRequest>;

export function createConnect(dependencies: RealtimeDependencies) {
  const { hub } = dependencies;
  return async function* (
    requests: AsyncIterable<ConnectRequest>,
    context: HandlerContext,
  ): AsyncGenerator<{ frame: ServerFrame }> {
    const iterator = requests[Symbol.asyncIterator]();
    let opened: { session: Session; outlet: StreamOutlet };
    try {
      opened = await open(iterator, context, dependencies);
    } catch (error) {
      yield { frame: goodbyeFrame(goodbyeOf(error)) };
      return;
    }
    const { session, outlet } = opened;
    const reading = read(iterator, session, dependencies);
    try {
      for await (const frame of outlet.frames(context.signal)) yield { frame };
    } finally {
      hub.closed(session);
      // Not awaited: a reader that waits for the client's next frame ends with the call.
      iterator.return?.().catch(() => undefined);
      reading.catch(() => undefined);
    }
  };
}

async function open(
  requests: Requests,
  context: HandlerContext,
  dependencies: RealtimeDependencies,
) {
  const { hub, queueBytesMax } = dependencies;
  const first = await firstFrame(requests);
  if (first?.frame.case !== "open") throw breach("The first frame was no `open`.");
  const json = isJson(context);
  const caller = requireDevice(context);
  const outlet = new StreamOutlet({ json, queueBytesMax, wire: streamWire() });
  const session = await hub.open({
    open: first.frame.value,
    requestId: first.requestId,
    caller,
    json,
    takesSubmit: false,
    outletOf: (onOverflow) => gateFor(dependencies, outlet, json, () => caller, onOverflow),
  });
  return { session, outlet };
}

async function firstFrame(requests: Requests): Promise<ClientFrame | undefined> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(breach("No `open` came in time.")), OPEN_MS_MAX);
  try {
    const first = await Promise.race([requests.next(), promise]);
    return first.done === true ? undefined : first.value.frame;
  } catch (error) {
    throw error instanceof SessionRefusedError ? error : breach(fromUnknown(error).rawMessage);
  } finally {
    clearTimeout(timer);
  }
}

/** Handles the client's frames. When its side ends, it still gets the answers to what it sent. */
async function read(
  requests: Requests,
  session: Session,
  { hub }: RealtimeDependencies,
): Promise<void> {
  const unanswered = new Set<PromiseLike<unknown>>();
  try {
    for (;;) {
      const next = await requests.next();
      if (session.ended) return;
      if (next.done === true) break;
      const { frame } = next.value;
      if (frame === undefined) {
        hub.breach(session, "A request held no frame.");
        return;
      }
      const answer = hub.handle(session, frame);
      hub.answer(session, answer);
      if (answer instanceof Promise) {
        unanswered.add(answer);
        void answer.finally(() => unanswered.delete(answer));
      }
    }
    await Promise.all(unanswered);
    session.outlet.end([], undefined);
  } catch (error) {
    hub.breach(session, fromUnknown(error).rawMessage);
  }
}

function breach(detail: string): SessionRefusedError {
  return new SessionRefusedError(createGoodbye(GoodbyeReason.PROTOCOL_ERROR, { detail }));
}
