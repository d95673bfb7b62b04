/** 1:1 load: pairs of people, one of whom writes; send → ack and send → delivery. */
import { setTimeout as sleep } from "node:timers/promises";
import { sendTemplate } from "./frames.ts";
import type { DirectPlan, DirectResult, LoadEvent } from "./load-plan.ts";
import { keepAlive, nowMs, openSessions, reader, settle } from "./load-session.ts";
import { summarize } from "./statistics.ts";

type Tally = {
  measuring: boolean;
  acked: number;
  delivered: number;
  ackedInWindow: number;
  deliveredInWindow: number;
  outOfOrder: number;
  refused: number;
  readonly ackMs: number[];
  readonly deliveryMs: number[];
};

type Lane = { send(): void };

/** Runs one plan. Every message of the run is checked, in the window or not; only the window is timed. */
export async function runDirect(
  plan: DirectPlan,
  tell: (event: LoadEvent) => void,
): Promise<DirectResult> {
  const senders = await openSessions(
    plan.port,
    plan.pairs.map((pair) => pair.sender),
  );
  const receivers = await openSessions(
    plan.port,
    plan.pairs.map((pair) => pair.receiver),
  );
  using _ = keepAlive([...senders, ...receivers]);
  const tally = newTally();
  let running = true;
  const closedLoop = plan.ratePerSecond === 0;

  const lanes: Lane[] = plan.pairs.map((pair, index) => {
    const make = sendTemplate(pair.conversationId, plan.payloadBytes);
    const sentAt = new Map<number, number>();
    let requestId = 0;
    const lane: Lane = {
      send() {
        requestId += 1;
        const now = nowMs();
        sentAt.set(requestId, now);
        senders[index]?.send(make(requestId, now));
      },
    };
    const sender = senders[index];
    if (sender) {
      sender.onFrame = (buffer, start, end) => {
        reader.read(buffer, start, end);
        if (reader.kind !== "sent" && reader.kind !== "refused") return;
        if (reader.kind === "refused") tally.refused += 1;
        else countAck(tally, nowMs() - (sentAt.get(reader.requestId) ?? 0));
        sentAt.delete(reader.requestId);
        if (closedLoop && running) lane.send();
      };
    }
    let lastSeq = 0;
    const receiver = receivers[index];
    if (receiver) {
      receiver.onFrame = (buffer, start, end) => {
        reader.read(buffer, start, end);
        if (reader.kind !== "event" || reader.sentMs === 0) return;
        if (lastSeq !== 0 && reader.seq !== lastSeq + 1) tally.outOfOrder += 1;
        lastSeq = reader.seq;
        countDelivery(tally, nowMs() - reader.sentMs);
      };
    }
    return lane;
  });

  const pacing = closedLoop ? undefined : startPacing(lanes, plan.ratePerSecond);
  if (closedLoop) for (const lane of lanes) lane.send();
  await sleep(plan.warmUpMs);
  tell({ event: "window-begins" });
  tally.measuring = true;
  const beganMs = nowMs();
  await sleep(plan.durationMs);
  tally.measuring = false;
  const seconds = (nowMs() - beganMs) / 1000;
  tell({ event: "window-ends" });
  running = false;
  pacing?.[Symbol.dispose]();
  await settle(() => tally.acked + tally.delivered, 500, 10_000);
  for (const session of [...senders, ...receivers]) session.close();
  return {
    acked: tally.ackedInWindow,
    delivered: tally.deliveredInWindow,
    seconds,
    ackMs: summarize(tally.ackMs),
    deliveryMs: summarize(tally.deliveryMs),
    lost: tally.acked - tally.delivered,
    outOfOrder: tally.outOfOrder,
    refused: tally.refused,
  };
}

function newTally(): Tally {
  return {
    measuring: false,
    acked: 0,
    delivered: 0,
    ackedInWindow: 0,
    deliveredInWindow: 0,
    outOfOrder: 0,
    refused: 0,
    ackMs: [],
    deliveryMs: [],
  };
}

function countAck(tally: Tally, ms: number): void {
  tally.acked += 1;
  if (!tally.measuring) return;
  tally.ackedInWindow += 1;
  tally.ackMs.push(ms);
}

function countDelivery(tally: Tally, ms: number): void {
  tally.delivered += 1;
  if (!tally.measuring) return;
  tally.deliveredInWindow += 1;
  tally.deliveryMs.push(ms);
}

/** Open loop: each message goes out at its own time, whatever became of the ones before it. */
function startPacing(lanes: readonly Lane[], ratePerSecond: number): Disposable {
  const beganMs = nowMs();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((nowMs() - beganMs) / 1000) * ratePerSecond);
    for (; sent < due; sent += 1) lanes[sent % lanes.length]?.send();
  }, 1);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
