/** 1:1 messages: a closed loop of 50 pairs, and a paced rate whose latency stands beside the disk's own sync. */

import { many, openDirect, type Person, signUpMany } from "../../harness/people.ts";
import { measureSync } from "../disk.ts";
import type { DirectPlan, DirectResult } from "../load-plan.ts";
import { startLoad } from "../processes.ts";
import { fact, invariant, type Row } from "../report.ts";
import { type BenchContext, startBenchServer, target } from "./context.ts";

const PAIRS = 50;
const PACED_PER_SECOND = 500;
const CLOSED_LOOP_TARGET = 5_000; // messages per second; Tinode with PostgreSQL does 1,750 on such a machine
const ACK_SYNCS_MAX = 2;
const ACK_EXTRA_MS = 1.5;
const PAYLOAD_BYTES = 200;

export async function benchDirect(context: BenchContext): Promise<Row[]> {
  await using server = await startBenchServer(context, "direct");
  await using load = startLoad();
  const people = await signUpMany(server.port, "pair", PAIRS * 2);
  const pairs = await many(PAIRS, async (index) => {
    const [sender, receiver] = [people[index * 2], people[index * 2 + 1]] as [Person, Person];
    const conversationId = await openDirect(server.port, sender, receiver);
    return { sender: sender.accessToken, receiver: receiver.accessToken, conversationId };
  });
  const plan = (ratePerSecond: number): DirectPlan => ({
    kind: "direct",
    port: server.port,
    pairs,
    ratePerSecond,
    warmUpMs: context.quick ? 500 : 3_000,
    durationMs: context.quick ? 1_000 : 15_000,
    payloadBytes: PAYLOAD_BYTES,
  });
  const sync = measureSync(context.directory, context.quick ? 200 : 2_000);
  const paced = await load.run<DirectResult>(plan(PACED_PER_SECOND), server.pid);
  const syncAfter = measureSync(context.directory, context.quick ? 200 : 2_000);
  const closed = await load.run<DirectResult>(plan(0), server.pid);
  const syncMs = (sync.p50 + syncAfter.p50) / 2;
  return [
    ...pacedRows(context, paced.result, syncMs),
    ...closedRows(context, closed.result, closed.serverCpuSeconds),
  ];
}

function pacedRows(context: BenchContext, result: DirectResult, syncMs: number): Row[] {
  const section = `1:1, ${PACED_PER_SECOND} messages/s, ${PAIRS} pairs, ${PAYLOAD_BYTES} bytes`;
  const limitMs = ACK_SYNCS_MAX * syncMs + ACK_EXTRA_MS;
  return [
    fact(section, "one disk sync, p50", `${syncMs.toFixed(2)} ms`),
    target(context, {
      section,
      figure: "send → ack, p50",
      value: `${result.ackMs.p50.toFixed(2)} ms`,
      target: `≤ ${limitMs.toFixed(2)} ms (2 syncs + 1.5)`,
      ok: result.ackMs.p50 <= limitMs,
    }),
    fact(section, "send → ack, p99", `${result.ackMs.p99.toFixed(2)} ms`),
    fact(section, "send → delivery, p50", `${result.deliveryMs.p50.toFixed(2)} ms`),
    fact(section, "send → delivery, p99", `${result.deliveryMs.p99.toFixed(2)} ms`),
    ...invariants(section, result),
  ];
}

function closedRows(context: BenchContext, result: DirectResult, cpu: number): Row[] {
  const section = `1:1, closed loop, ${PAIRS} pairs, ${PAYLOAD_BYTES} bytes`;
  const perSecond = result.acked / result.seconds;
  return [
    target(context, {
      section,
      figure: "durable messages/s",
      value: perSecond.toFixed(0),
      target: `> ${CLOSED_LOOP_TARGET}`,
      ok: perSecond > CLOSED_LOOP_TARGET,
    }),
    fact(section, "send → ack, p50", `${result.ackMs.p50.toFixed(2)} ms`),
    fact(section, "send → ack, p99", `${result.ackMs.p99.toFixed(2)} ms`),
    fact(section, "send → delivery, p50", `${result.deliveryMs.p50.toFixed(2)} ms`),
    fact(section, "send → delivery, p99", `${result.deliveryMs.p99.toFixed(2)} ms`),
    fact(section, "server CPU per message", `${((cpu / result.acked) * 1e6).toFixed(0)} µs`),
    ...invariants(section, result),
  ];
}

function invariants(section: string, result: DirectResult): Row[] {
  return [
    invariant(section, "lost", result.lost),
    invariant(section, "out of order or doubled", result.outOfOrder),
    invariant(section, "refused", result.refused),
  ];
}
