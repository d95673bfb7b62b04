import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService } from "../testing/test-service.ts";

test("owners are listed by partition, with the log's number of partitions", async () => {
  await using parts = await createTestService();
  const none = await parts.partitions.listPartitionOwners({});
  assert.deepEqual([none.owners, none.partitionCount], [[], 0]);
  const taken = await parts.partitions.takePartitions({
    address: "west:1",
    partitionCount: 16,
    partitions: [3, 1],
  });
  const { owners, partitionCount } = await parts.partitions.listPartitionOwners({});
  assert.equal(partitionCount, 16);
  assert.deepEqual(
    owners.map(({ partition, address, generation }) => ({ partition, address, generation })),
    [1, 3].map((partition) => ({
      partition,
      address: "west:1",
      generation: taken.partitions.find((of) => of.partition === partition)?.generation,
    })),
  );
});
