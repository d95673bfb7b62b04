/** Group load: everybody of one group is connected, some write, everybody's copy is checked. */
import { setTimeout as sleep } from "node:timers/promises";
import { sendTemplate } from "./frames.ts";
import type { GroupPlan, GroupResult, LoadEvent } from "./load-plan.ts";
import { keepAlive, nowMs, openSessions, reader, settle } from "./load-session.ts";
import type { RawWebSocket } from "./raw-websocket.ts";
import { summarize } from "./statistics.ts";

type Tally = {
  measuring: boolean;
  acked: number;
  ackedInWindow: number;
  deliveries: number;
  deliveriesInWindow: number;
  outOfOrder: number;
  refused: number;
  readonly ackMs: number[];
};

/**
 * Runs one plan. A member's copy is complete when its events, together with the acks of its own messages (which
 * take their place in the order), are dense: a missing, doubled or misplaced message breaks it.
 */
export async function runGroup(
  plan: GroupPlan,
  tell: (event: LoadEvent) => void,
): Promise<GroupResult> {
  const sessions = await openSessions(plan.port, plan.members);
  using _ = keepAlive(sessions);
  const tally: Tally = {
    measuring: false,
    acked: 0,
    ackedInWindow: 0,
    deliveries: 0,
    deliveriesInWindow: 0,
    outOfOrder: 0,
    refused: 0,
    ackMs: [],
  };
  const state = { running: true };
  sessions.forEach((session, index) => {
    if (index < plan.senders) startSender(session, plan, tally, state);
    else watch(session, tally);
  });
  await sleep(plan.warmUpMs);
  tell({ event: "window-begins" });
  tally.measuring = true;
  const beganMs = nowMs();
  await sleep(plan.durationMs);
  tally.measuring = false;
  const seconds = (nowMs() - beganMs) / 1000;
  tell({ event: "window-ends" });
  state.running = false;
  await settle(() => tally.acked + tally.deliveries, 500, 20_000);
  for (const session of sessions) session.close();
  return {
    acked: tally.ackedInWindow,
    deliveries: tally.deliveriesInWindow,
    seconds,
    ackMs: summarize(tally.ackMs),
    lost: tally.acked * (plan.members.length - 1) - tally.deliveries,
    outOfOrder: tally.outOfOrder,
    refused: tally.refused,
  };
}

/** A receiver only: events must be dense from the first one on. */
function watch(session: RawWebSocket, tally: Tally): void {
  let lastSeq = 0;
  session.onFrame = (buffer, start, end) => {
    reader.read(buffer, start, end);
    if (reader.kind !== "event" || reader.sentMs === 0) return;
    if (lastSeq !== 0 && reader.seq !== lastSeq + 1) tally.outOfOrder += 1;
    lastSeq = reader.seq;
    countDelivery(tally);
  };
}

function countDelivery(tally: Tally): void {
  tally.deliveries += 1;
  if (tally.measuring) tally.deliveriesInWindow += 1;
}

/** A sender keeps a window of messages in flight; it receives the others' like everybody else, in growing order. */
function startSender(
  session: RawWebSocket,
  plan: GroupPlan,
  tally: Tally,
  state: { running: boolean },
): void {
  const make = sendTemplate(plan.conversationId, plan.payloadBytes);
  const sentAt = new Map<number, number>();
  let requestId = 0;
  let lastSeq = 0;
  const send = () => {
    requestId += 1;
    const now = nowMs();
    sentAt.set(requestId, now);
    session.send(make(requestId, now));
  };
  session.onFrame = (buffer, start, end) => {
    reader.read(buffer, start, end);
    if (reader.kind === "event" && reader.sentMs !== 0) {
      if (reader.seq <= lastSeq) tally.outOfOrder += 1;
      lastSeq = reader.seq;
      countDelivery(tally);
    } else if (reader.kind === "sent" || reader.kind === "refused") {
      if (reader.kind === "refused") tally.refused += 1;
      else {
        tally.acked += 1;
        if (tally.measuring) {
          tally.ackedInWindow += 1;
          tally.ackMs.push(nowMs() - (sentAt.get(reader.requestId) ?? 0));
        }
      }
      sentAt.delete(reader.requestId);
      if (state.running) send();
    }
  };
  for (let at = 0; at < plan.window; at += 1) send();
}
