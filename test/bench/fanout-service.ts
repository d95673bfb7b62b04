/**
 * `node test/bench/fanout-service.ts`: what fan-out alone costs, with the real log, the real inbox store and
 * the real session registry, and a gateway that only counts.
 *
 * CPU is of the whole process: the log's and the store's threads are in it, and so is making the entries.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createFanoutService } from "@parley/fanout/service";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type FanoutBatch,
  FanoutBatchSchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  DispatchBatchesRequestSchema,
  FanoutService,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { DeliveryService } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { createSegmentLog } from "@parley/platform/log/embedded/segment-log";
import { createBatchStreamClient } from "@parley/platform/rpc/batch-stream";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createPresenceService } from "@parley/presence/service";

const MEMBERS = 100;
const EVENT_BYTES = 200;
const PAIRS = 500;
const MEASURE_MS = 4000;

const telemetry = silentTelemetry();
const transportTo = (routes: Routes) =>
  createInProcessTransport({
    routes,
    interceptors: standardInterceptors(telemetry),
    asCaller: { kind: "internal", service: "bench" },
  });

/** Takes everything, and counts events per person. */
function createCountingGateway() {
  const counts = { deliveries: 0, batches: 0 };
  const route = defineRoute(DeliveryService, {
    async *deliverBatches(requests) {
      for await (const { batchNumber, deliveries } of requests) {
        counts.batches++;
        for (const { events, userIds } of deliveries) {
          counts.deliveries += events.length * userIds.length;
        }
        yield { batchNumber };
      }
    },
    endSessions: async () => ({}),
  });
  return { counts, transport: transportTo([route]) };
}

const uuid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
const people = (count: number) => Array.from({ length: count }, (_, index) => uuid(index));

async function createBench(directory: string) {
  const log = await createSegmentLog({
    directory: join(directory, "log"),
    partitionCount: 16,
    onProblem: () => undefined,
  });
  const { counts, transport: gatewayTransport } = createCountingGateway();
  const presence = await createPresenceService(
    { directory: join(directory, "presence"), sessionsMax: 10_000 },
    { telemetry, transports: { directory: transportTo([]) } },
  );
  const presenceTransport = transportTo(presence.routes);
  const registry = createClient(SessionRegistryService, presenceTransport);
  const sessions = people(MEMBERS).map((userId) => ({ sessionId: `s ${userId}`, userId }));
  const register = () => registry.recordHeartbeats({ gatewayId: uuid(0), sessions });
  await register();
  const service = await createFanoutService(
    { directory: join(directory, "fanout"), membershipsCachedMax: 100_000 },
    {
      telemetry,
      log,
      transports: { message: transportTo([]), presence: presenceTransport },
      gatewayTransport: () => gatewayTransport,
    },
  );
  await service.start();
  await presence.start();
  const heartbeat = setInterval(() => void register(), 5000);
  return {
    log,
    counts,
    fanout: createClient(FanoutService, transportTo(service.routes)),
    async [Symbol.asyncDispose]() {
      clearInterval(heartbeat);
      await service[Symbol.asyncDispose]();
      await presence[Symbol.asyncDispose]();
      await log[Symbol.asyncDispose]();
    },
  };
}

type Bench = Awaited<ReturnType<typeof createBench>>;

const event = new Uint8Array(EVENT_BYTES);

function createdByAll() {
  const members = people(MEMBERS).map((userId) => ({ userId }));
  return { membershipVersion: 1n, change: { case: "created" as const, value: { members } } };
}

function batchOf(conversation: number, seq: number, direct?: readonly [string, string]) {
  const place = BigInt(seq);
  return create(FanoutBatchSchema, {
    conversationId: uuid(conversation),
    kind: direct === undefined ? ConversationKind.GROUP : ConversationKind.DIRECT,
    directUserIds: [...(direct ?? [])],
    entries: [
      {
        ...{ seq: place, messageId: place, unreadOrdinal: place, offset: place, event },
        senderUserId: uuid(seq % 5),
        countsAsUnread: true,
        ...(seq === 1 && direct === undefined ? { change: createdByAll() } : {}),
      },
    ],
  });
}

/** Runs `load` and prints what it delivered. */
async function measure({ counts }: Bench, name: string, load: () => Promise<void>): Promise<void> {
  const cpuBefore = process.cpuUsage();
  const before = { ...counts };
  const startMs = performance.now();
  await load();
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const deliveries = counts.deliveries - before.deliveries;
  const row = [
    name.padEnd(34),
    `${Math.round(deliveries / seconds).toLocaleString("en")} deliveries/s`.padStart(24),
    `${((user + system) / deliveries).toFixed(2)} µs CPU each`.padStart(18),
    `${Math.round((user + system) / 1e4 / seconds)} % CPU`.padStart(10),
  ];
  process.stdout.write(`${row.join("")}\n`);
}

async function waitForDeliveries({ counts }: Bench, count: number): Promise<void> {
  while (counts.deliveries < count) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** One group through the log: `perSecond` messages, or as many as `ahead` unfinished ones allow. */
async function runGroup(
  bench: Bench,
  conversation: number,
  pace: { perSecond: number } | { ahead: number },
): Promise<void> {
  const append = (seq: number) =>
    bench.log.append("fanout", 3, toBinary(FanoutBatchSchema, batchOf(conversation, seq)));
  let seq = 1;
  const base = bench.counts.deliveries;
  await append(seq);
  const startMs = performance.now();
  for (;;) {
    const elapsedMs = performance.now() - startMs;
    if (elapsedMs > MEASURE_MS) break;
    const room =
      "perSecond" in pace
        ? Math.floor((elapsedMs / 1000) * pace.perSecond) + 1 - seq
        : pace.ahead - (seq - (bench.counts.deliveries - base) / MEMBERS);
    for (let sent = 0; sent < room; sent++) void append(++seq);
    await new Promise((resolve) => setTimeout(resolve, "perSecond" in pace ? 1 : 0));
  }
  await waitForDeliveries(bench, base + seq * MEMBERS);
}

/** The same load on the log alone, for comparison: what is not fan-out's. */
async function runLogAlone({ log, counts }: Bench, perSecond: number): Promise<void> {
  const startMs = performance.now();
  for (let seq = 0; ; ) {
    const elapsedMs = performance.now() - startMs;
    if (elapsedMs > MEASURE_MS) break;
    for (; seq < (elapsedMs / 1000) * perSecond; seq++) {
      void log.append("nothing", 3, toBinary(FanoutBatchSchema, batchOf(1, seq + 2)));
      counts.deliveries += MEMBERS;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Pairs over one stream, as the message service dispatches them: closed loop. */
async function runDirect(bench: Bench): Promise<void> {
  const client = createBatchStreamClient({
    name: "bench",
    open: (batches: AsyncIterable<ReturnType<typeof toRequest>>, signal) =>
      bench.fanout.dispatchBatches(batches, { signal }),
    wrap: toRequest,
    unwrap: ({ correlationIds }) =>
      correlationIds.map((correlationId) => ({
        ...{ correlationId, ok: true as const, result: undefined },
      })),
  });
  const endMs = performance.now() + MEASURE_MS;
  const talk = async (pair: number) => {
    const two = [uuid(pair % MEMBERS), uuid((pair + 1) % MEMBERS)] as const;
    for (let seq = 1; performance.now() < endMs; seq++) {
      await client.call(batchOf(10_000 + pair, seq, two));
    }
  };
  await Promise.all(Array.from({ length: PAIRS }, (_, pair) => talk(pair)));
  await client[Symbol.asyncDispose]();
}

function toRequest(items: readonly { correlationId: bigint; item: FanoutBatch }[]) {
  return create(DispatchBatchesRequestSchema, {
    items: items.map(({ correlationId, item }) => ({ correlationId, batch: item })),
  });
}

const directory = mkdtempSync(join(tmpdir(), "parley-bench-fanout-"));
try {
  await using bench = await createBench(directory);
  await runGroup(bench, 1, { ahead: 50 });
  const group = `group of ${MEMBERS}`;
  await measure(bench, `${group}, 200 messages/s`, () => runGroup(bench, 2, { perSecond: 200 }));
  await measure(bench, `${group}, 1,000 messages/s`, () => runGroup(bench, 3, { perSecond: 1000 }));
  await measure(bench, "the log alone, 1,000 records/s", () => runLogAlone(bench, 1000));
  await measure(bench, `${group}, 5 ahead`, () => runGroup(bench, 4, { ahead: 5 }));
  await measure(bench, `${group}, 50 ahead`, () => runGroup(bench, 5, { ahead: 50 }));
  await measure(bench, `${PAIRS} pairs, closed loop`, () => runDirect(bench));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
