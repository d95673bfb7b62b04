import assert from "node:assert/strict";
import { test } from "node:test";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createBlockRelay } from "./block-relay.ts";
import type { PendingBlock } from "./contact-ports.ts";

const block = (blockedUserId: string, blocked = true): PendingBlock => ({
  blockerUserId: "ada",
  blockedUserId,
  blocked,
  changeId: `change of ${blockedUserId}`,
});

/** An outbox in memory, and a conversation half that records what it is told. */
function createParts(...pending: PendingBlock[]) {
  const told: [string, boolean][] = [];
  const emptied = Promise.withResolvers<void>();
  return {
    pending,
    told,
    emptied: emptied.promise,
    telemetry: silentTelemetry(),
    outbox: {
      listPendingBlocks: async () => [...pending],
      readPendingBlock: async (_blocker: string, blockedUserId: string) =>
        pending.find((entry) => entry.blockedUserId === blockedUserId),
      async deletePendingBlock(done: PendingBlock) {
        const index = pending.findIndex((entry) => entry.changeId === done.changeId);
        if (index >= 0) pending.splice(index, 1);
        if (pending.length === 0) emptied.resolve();
      },
    },
  };
}

test("a wait brings the block and forgets it; without an entry there is nothing to do", async () => {
  const parts = createParts(block("bob"), block("eve", false));
  await using relay = createBlockRelay({
    ...parts,
    setSendPermission: async (_blocker, blocked, maySend) =>
      void parts.told.push([blocked, maySend]),
  });
  await relay.waitApplied("ada", "bob");
  await relay.waitApplied("ada", "bob");
  await relay.waitApplied("ada", "eve");
  assert.deepEqual(parts.told, [
    ["bob", false],
    ["eve", true],
  ]);
  assert.deepEqual(parts.pending, []);
});

test("what could not be brought stays, is told to the caller, and is brought by a later sweep", async () => {
  const parts = createParts(block("bob"), block("eve"));
  let failuresLeft = 2;
  await using relay = createBlockRelay({
    ...parts,
    sweepIntervalMs: 5,
    async setSendPermission(_blocker, blocked, maySend) {
      if (blocked === "bob" && failuresLeft-- > 0) throw new Error("down");
      parts.told.push([blocked, maySend]);
    },
  });
  await assert.rejects(relay.waitApplied("ada", "bob"), /down/);
  assert.equal(parts.pending.length, 2);
  relay.start();
  await parts.emptied;
  assert.deepEqual(parts.told, [
    ["eve", false],
    ["bob", false],
  ]);
});
