/** Group fan-out: 100 members, 5 of whom write; beside it the same load on a bare `ws.send` loop. */

import { createGroup, signUpMany } from "../../harness/people.ts";
import type { GroupPlan, GroupResult } from "../load-plan.ts";
import { startBareServer, startLoad } from "../processes.ts";
import { fact, invariant, type Row } from "../report.ts";
import { type BenchContext, startBenchServer, target } from "./context.ts";

const MEMBERS = 100;
const SENDERS = 5;
const WINDOW = 32;
const PAYLOAD_BYTES = 120;
const LIMIT_SHARE = 1.2; // at least this many times the bare loop
const CPU_MICROSECONDS_MAX = 4;

type Measured = { readonly result: GroupResult; readonly serverCpuSeconds: number };

export async function benchGroup(context: BenchContext): Promise<Row[]> {
  await using load = startLoad();
  const bare = await measureBare(context, load);
  await using server = await startBenchServer(context, "group");
  const people = await signUpMany(server.port, "member", MEMBERS);
  const conversationId = await createGroup(server.port, people);
  const members = people.map((person) => person.accessToken);
  const parley: Measured = await load.run(
    groupPlan(context, server.port, members, conversationId),
    server.pid,
  );
  return rows(context, parley, bare);
}

async function measureBare(
  context: BenchContext,
  load: ReturnType<typeof startLoad>,
): Promise<Measured> {
  await using server = await startBareServer();
  const members = Array.from({ length: MEMBERS }, () => "none");
  const conversationId = "00000000-0000-4000-8000-000000000000";
  return await load.run(groupPlan(context, server.port, members, conversationId), server.pid);
}

function groupPlan(
  context: BenchContext,
  port: number,
  members: readonly string[],
  conversationId: string,
): GroupPlan {
  return {
    kind: "group",
    port,
    members,
    senders: SENDERS,
    conversationId,
    window: WINDOW,
    warmUpMs: context.quick ? 500 : 3_000,
    durationMs: context.quick ? 1_000 : 15_000,
    payloadBytes: PAYLOAD_BYTES,
  };
}

function rows(context: BenchContext, parley: Measured, bare: Measured): Row[] {
  const section = `Group of ${MEMBERS}, ${SENDERS} senders, ${PAYLOAD_BYTES} bytes`;
  const rate = parley.result.deliveries / parley.result.seconds;
  const bareRate = bare.result.deliveries / bare.result.seconds;
  const cpu = (parley.serverCpuSeconds / parley.result.deliveries) * 1e6;
  const bareCpu = (bare.serverCpuSeconds / bare.result.deliveries) * 1e6;
  return [
    fact(section, "bare ws.send loop, deliveries/s", bareRate.toFixed(0)),
    fact(section, "bare ws.send loop, server CPU per delivery", `${bareCpu.toFixed(2)} µs`),
    target(context, {
      section,
      figure: "durable deliveries/s",
      value: rate.toFixed(0),
      target: `≥ ${(bareRate * LIMIT_SHARE).toFixed(0)} (1.2 × the bare loop)`,
      ok: rate >= bareRate * LIMIT_SHARE,
    }),
    target(context, {
      section,
      figure: "server CPU per delivery",
      value: `${cpu.toFixed(2)} µs`,
      target: `≤ ${CPU_MICROSECONDS_MAX} µs`,
      ok: cpu <= CPU_MICROSECONDS_MAX,
    }),
    fact(section, "messages/s", (parley.result.acked / parley.result.seconds).toFixed(0)),
    fact(section, "send → ack, p50", `${parley.result.ackMs.p50.toFixed(2)} ms`),
    fact(section, "send → ack, p99", `${parley.result.ackMs.p99.toFixed(2)} ms`),
    invariant(section, "lost", parley.result.lost),
    invariant(section, "out of order or doubled", parley.result.outOfOrder),
    invariant(section, "refused", parley.result.refused),
  ];
}
