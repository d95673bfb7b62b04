import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService } from "../testing/test-service.ts";

const WEST = { address: "west:1", partitionCount: 4 };

test("a released partition has no owner; releasing it again does no harm", async () => {
  await using parts = await createTestService();
  const { partitions } = await parts.partitions.takePartitions({ ...WEST, partitions: [0, 1] });
  const released = partitions.slice(0, 1);
  await parts.partitions.releasePartitions({ partitions: released });
  await parts.partitions.releasePartitions({ partitions: released });
  const { owners } = await parts.partitions.listPartitionOwners({});
  assert.deepEqual(
    owners.map(({ partition }) => partition),
    [1],
  );
});
