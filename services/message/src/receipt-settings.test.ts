import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { defineRoute } from "@parley/platform/rpc/route";
import { createReceiptSettings } from "./receipt-settings.ts";

function openSettings() {
  const clock = createManualClock();
  const hiding = new Set<string>();
  const asked: string[][] = [];
  const warnings: unknown[] = [];
  const down = { value: false };
  const unused = () => {
    throw new Error("not used here");
  };
  const route = defineRoute(DirectoryService, {
    getReceiptSettings: ({ userIds }) => {
      if (down.value) throw unavailable("DOWN", "down");
      asked.push([...userIds]);
      return { hidingUserIds: userIds.filter((userId) => hiding.has(userId)) };
    },
    getVerificationKeys: unused,
    checkDevices: unused,
    filterVisiblePresence: unused,
  });
  const directory = createInProcessTransport({ routes: [route], interceptors: [] });
  const log = { warn: (...line: unknown[]) => void warnings.push(line) };
  const settings = createReceiptSettings({ directory, clock, log });
  return { clock, hiding, asked, warnings, down, settings };
}

describe("receipt settings", () => {
  it("are asked for once in 30 seconds", async () => {
    const { settings, hiding, asked, clock } = openSettings();
    hiding.add("ann");
    assert.deepEqual([...(await settings.hiding(["ann", "ben"]))], ["ann"]);
    assert.deepEqual([...(await settings.hiding(["ben", "ann", "cem"]))], ["ann"]);
    assert.deepEqual(asked, [["ann", "ben"], ["cem"]]);
    hiding.delete("ann");
    clock.advance(29_999);
    assert.equal((await settings.hiding(["ann"])).size, 1);
    clock.advance(1);
    assert.equal((await settings.hiding(["ann"])).size, 0);
  });

  it("do not last longer because a clock went back", async () => {
    const { settings, hiding, clock } = openSettings();
    await settings.hiding(["ann"]);
    hiding.add("ann");
    clock.set(clock.nowMs() - 3_600_000);
    assert.equal((await settings.hiding(["ann"])).size, 1);
  });

  it("hide everything that the directory does not answer for, and remember nothing of it", async () => {
    const { settings, down, warnings } = openSettings();
    down.value = true;
    assert.deepEqual([...(await settings.hiding(["ann"]))], ["ann"]);
    assert.equal(warnings.length, 1);
    down.value = false;
    assert.equal((await settings.hiding(["ann"])).size, 0);
  });

  it("are asked for a thousand at a time", async () => {
    const { settings, asked } = openSettings();
    await settings.hiding(Array.from({ length: 2500 }, (_, at) => `user-${at}`));
    assert.deepEqual(
      asked.map(({ length }) => length),
      [1000, 1000, 500],
    );
  });
});
