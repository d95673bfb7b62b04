import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { defineRoute } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createPartitionAnnouncer } from "./partition-announcer.ts";

/** An announcer, and a registry that writes down what it hears. */
function createFixture() {
  const clock = createManualClock();
  const heard: string[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let generation = 0n;
  let reachable = true;
  const hear = (text: string) => {
    if (!reachable) {
      note(`not ${text}`);
      throw unavailable("GONE", "The registry is away.");
    }
    note(text);
  };
  const note = (text: string) => {
    heard.push(text);
    for (const waiter of waiting) if (heard.length >= waiter.count) waiter.resolve();
  };
  const list = (partitions: readonly { partition: number; generation: bigint }[]) =>
    partitions.map((of) => `${of.partition}@${of.generation}`).join();
  const route = defineRoute(PartitionRouteService, {
    takePartitions: async ({ address, partitions, partitionCount }) => {
      hear(`take ${address} ${partitions.join()} of ${partitionCount}`);
      const taken = partitions.map((partition) => ({ partition, generation: ++generation }));
      return { partitions: taken };
    },
    renewPartitions: async ({ address, partitions }) => {
      hear(`renew ${address} ${list(partitions)}`);
      return {};
    },
    releasePartitions: async ({ partitions }) => {
      hear(`release ${list(partitions)}`);
      return {};
    },
    listPartitionOwners: async () => ({}),
  });
  const transport = createInProcessTransport({
    routes: [route],
    interceptors: [],
    asCaller: { kind: "internal", service: "test" },
  });
  const announcer = createPartitionAnnouncer({
    routes: createClient(PartitionRouteService, transport),
    address: "here:1",
    partitionCount: 16,
    clock,
    log: silentTelemetry().log,
  });
  return {
    announcer,
    clock,
    heard,
    setReachable: (value: boolean) => {
      reachable = value;
    },
    hears: (count: number) =>
      heard.length >= count
        ? Promise.resolve()
        : new Promise<void>((resolve) => waiting.push({ count, resolve })),
  };
}

test("what comes together is taken together, renewed, and released at the end", async () => {
  const { announcer, clock, heard, hears } = createFixture();
  announcer.taken(3);
  announcer.taken(5);
  await hears(1);
  clock.advance(2000);
  await hears(2);
  announcer.released(3);
  await hears(3);
  await announcer[Symbol.asyncDispose]();
  assert.deepEqual(heard, [
    "take here:1 3,5 of 16",
    "renew here:1 3@1,5@2",
    "release 3@1",
    "release 5@2",
  ]);
});

test("a registry that was away learns of it with the next renewal", async () => {
  const { announcer, clock, heard, hears, setReachable } = createFixture();
  setReachable(false);
  announcer.taken(1);
  await hears(1);
  setReachable(true);
  clock.advance(2000);
  await hears(3);
  await announcer[Symbol.asyncDispose]();
  assert.deepEqual(heard.slice(0, 3), [
    "not take here:1 1 of 16",
    "take here:1 1 of 16",
    "renew here:1 1@1",
  ]);
});

test("a partition that went before the registry knew of it is never announced again", async () => {
  const { announcer, heard } = createFixture();
  announcer.taken(1);
  announcer.released(1);
  await announcer[Symbol.asyncDispose]();
  assert.deepEqual(heard, []);
});
