import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { createTestService } from "../testing/test-service.ts";

const WEST = { address: "west:1", partitionCount: 4 };

test("takings come back in the order of the request, each with its generation", async () => {
  await using parts = await createTestService();
  const first = await parts.partitions.takePartitions({ ...WEST, partitions: [2, 0] });
  assert.deepEqual(
    first.partitions.map(({ partition }) => partition),
    [2, 0],
  );
  const second = await parts.partitions.takePartitions({ ...WEST, partitions: [2] });
  assert.ok((second.partitions[0]?.generation ?? 0n) > (first.partitions[0]?.generation ?? 0n));
});

test("partitions that no log has are refused", async () => {
  await using parts = await createTestService();
  for (const bad of [
    { ...WEST, partitions: [] },
    { ...WEST, partitions: [1024] },
    { ...WEST, partitions: [1], partitionCount: 0 },
    { ...WEST, partitions: [1], address: "" },
  ]) {
    await assert.rejects(
      parts.partitions.takePartitions(bad),
      (error) => error instanceof ConnectError && error.code === Code.InvalidArgument,
    );
  }
});
