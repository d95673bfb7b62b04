import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService } from "../testing/test-service.ts";

const WEST = { address: "west:1", partitionCount: 4 };
const EAST = { address: "east:1", partitionCount: 4 };

test("an owner that renews stays; one that lost a partition is told which", async () => {
  await using parts = await createTestService();
  const taken = await parts.partitions.takePartitions({ ...WEST, partitions: [0, 1] });
  await parts.partitions.takePartitions({ ...EAST, partitions: [1] });
  parts.clock.advance(9000);
  const renewal = await parts.partitions.renewPartitions({ ...WEST, ...pick(taken) });
  assert.deepEqual(renewal.lostPartitions, [1]);
  parts.clock.advance(9000);
  const { owners } = await parts.partitions.listPartitionOwners({});
  assert.deepEqual(
    owners.map(({ partition, address }) => [partition, address]),
    [[0, "west:1"]],
  );
});

function pick<T>({ partitions }: { readonly partitions: T }) {
  return { partitions };
}
