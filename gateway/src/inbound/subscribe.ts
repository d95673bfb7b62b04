/** `RealtimeService.Subscribe`: a session as a server stream, for browsers without WebSocket. */
import type { HandlerContext } from "@connectrpc/connect";
import type { ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { SubscribeRequest } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import { StreamOutlet } from "../outbound/stream-outlet.ts";
import { goodbyeFrame } from "../session/goodbye.ts";
import type { Session } from "../session/session.ts";
import { gateFor, goodbyeOf, type RealtimeDependencies, streamWire } from "./realtime.ts";
import { isJson } from "./road.ts";

export function createSubscribe(dependencies: RealtimeDependencies) {
  const { hub, queueBytesMax } = dependencies;
  return async function* (
    { open }: SubscribeRequest,
    context: HandlerContext,
  ): AsyncGenerator<{ frame: ServerFrame }> {
    if (open === undefined) throw invalidArgument("open", "A session is opened with `open`.");
    const json = isJson(context);
    const caller = requireDevice(context);
    const outlet = new StreamOutlet({ json, queueBytesMax, wire: streamWire() });
    let session: Session;
    try {
      session = await hub.open({
        open,
        requestId: 0n,
        caller,
        json,
        takesSubmit: true,
        outletOf: (onOverflow) => gateFor(dependencies, outlet, json, () => caller, onOverflow),
      });
    } catch (error) {
      yield { frame: goodbyeFrame(goodbyeOf(error)) };
      return;
    }
    try {
      for await (const frame of outlet.frames(context.signal)) yield { frame };
    } finally {
      hub.closed(session);
    }
  };
}
