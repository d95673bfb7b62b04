/** `DeliveryService.DeliverBatches`: events from fan-out into the queues of sessions. */
import type { HandlerContext } from "@connectrpc/connect";
import type {
  DeliverBatchesRequest,
  Delivery,
  DeliveryEvent,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import type { Tracer } from "@parley/platform/telemetry/tracer";
import { EventFrame } from "../outbound/event-frame.ts";
import type { TurnWriter } from "../outbound/turn-writer.ts";
import type { Hub } from "../session/hub.ts";
import type { Missed } from "./deliver-batches-missed.ts";

export type DeliverBatchesDependencies = {
  readonly hub: Pick<Hub, "sessions" | "deliver">;
  /** Told of whom events passed by. */
  readonly missed: Missed;
  readonly writer: Pick<TurnWriter, "afterTurn">;
  readonly tracer: Tracer;
};

export function createDeliverBatches(dependencies: DeliverBatchesDependencies) {
  const { missed } = dependencies;
  return async function* (
    requests: AsyncIterable<DeliverBatchesRequest>,
    { signal }: Pick<HandlerContext, "signal">,
  ) {
    let expected = 1n;
    let complete = false;
    try {
      for await (const request of requests) {
        const { batchNumber, deliveries } = request;
        if (batchNumber !== expected) {
          throw invalidArgument("batch_number", `Batch ${expected} was expected.`);
        }
        expected++;
        // Before the deliveries, which then come in their place of what is read again.
        if (request.everybodyMissed) missed.everybody();
        else missed.people(request.missedUserIds);
        const absent = new Set<string>();
        for (const delivery of deliveries) deliver(delivery, absent, dependencies);
        yield { batchNumber, absentUserIds: [...absent] };
      }
      complete = !(await isReset(signal));
    } finally {
      // Fan-out ends a stream only when it owes nobody anything. What it owed else may have died with it.
      if (!complete) missed.everybody();
    }
  };
}

/** Over HTTP/2 a stream that was reset looks ended, until its host hears of the reset in one of the next turns. */
const RESET_TURNS_MAX = 10;

async function isReset(signal: AbortSignal): Promise<boolean> {
  for (let turn = 0; turn < RESET_TURNS_MAX && !signal.aborted; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return signal.aborted;
}

function deliver(
  { conversationId, events, userIds }: Delivery,
  absent: Set<string>,
  { hub, writer, tracer }: DeliverBatchesDependencies,
): void {
  const frames = events.map((event) => toFrame(event, conversationId, writer, tracer));
  for (const userId of userIds) {
    let session = hub.sessions.firstOf(userId);
    if (session === undefined) absent.add(userId);
    while (session !== undefined) {
      // A session that ends by a delivery leaves the person's list.
      const next = session.nextOfUser;
      for (const frame of frames) hub.deliver(session, frame);
      session = next;
    }
  }
}

function toFrame(
  { event, seq, originSessionId, traceParent }: DeliveryEvent,
  conversationId: string,
  writer: Pick<TurnWriter, "afterTurn">,
  tracer: Tracer,
): EventFrame {
  const frame = new EventFrame(event, conversationId, Number(seq), originSessionId);
  if (traceParent === "") return frame;
  const span = tracer.startSpan("gateway.deliver", { kind: "consumer", parent: traceParent });
  frame.onWritten = () => span.end();
  writer.afterTurn(frame);
  return frame;
}
