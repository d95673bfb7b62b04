import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  LookUpSessionsResponseSchema,
  type SessionRegistryService,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { createSessionLocator } from "./session-locator.ts";

function createLocator(places: Readonly<Record<string, readonly string[]>>) {
  const asked: string[][] = [];
  let failures = 0;
  const registry: Pick<Client<typeof SessionRegistryService>, "lookUpSessions"> = {
    async lookUpSessions({ userIds = [] }) {
      asked.push([...userIds]);
      if (failures > 0) {
        failures--;
        throw new Error("not now");
      }
      const gateways = ["east", "west"].map((gatewayId) => ({
        gatewayId,
        userIds: userIds.filter((userId) => places[userId]?.includes(gatewayId)),
      }));
      return create(LookUpSessionsResponseSchema, {
        gateways: gateways.filter((one) => one.userIds.length > 0),
      });
    },
  };
  const locator = createSessionLocator({ registry, log: createSilentLogger() });
  return { locator, asked, fail: (count: number) => (failures = count) };
}

const summary = (located: readonly { gatewayId: string; userIds: string[] }[]) =>
  located.map(({ gatewayId, userIds }) => `${gatewayId}: ${userIds.join()}`);

test("look-ups of pairs in one turn are one call, and each gets its own people", async () => {
  const places = { ann: ["west"], bob: ["east", "west"], cid: ["east"] };
  const { locator, asked } = createLocator(places);
  await using _locator = locator;
  const located = await Promise.all([
    locator.locate(["ann", "bob"]),
    locator.locate(["bob", "cid"]),
    locator.locate(["dan"]),
  ]);
  assert.deepEqual(asked, [["ann", "bob", "cid", "dan"]]);
  assert.deepEqual(located.map(summary), [
    ["west: ann,bob", "east: bob"],
    ["east: bob,cid", "west: bob"],
    [],
  ]);
});

test("a group is looked up by itself", async () => {
  const group = Array.from({ length: 20 }, (_, index) => `u${index}`);
  const { locator, asked } = createLocator({ u3: ["west"] });
  await using _locator = locator;
  const [alone] = await Promise.all([locator.locate(group), locator.locate(["u3", "ann"])]);
  assert.deepEqual(summary(alone ?? []), ["west: u3"]);
  assert.deepEqual(
    asked.map(({ length }) => length),
    [20, 2],
  );
});

test("no call asks for more than a thousand people", async () => {
  const { locator, asked } = createLocator({});
  await using _locator = locator;
  const pairs = Array.from({ length: 600 }, (_, index) => [`a${index}`, `b${index}`]);
  await Promise.all(pairs.map((pair) => locator.locate(pair)));
  assert.deepEqual(
    asked.map(({ length }) => length),
    [1000, 200],
  );
});

test("a registry that fails is asked again until it answers", async () => {
  const { locator, asked, fail } = createLocator({ ann: ["west"] });
  await using _locator = locator;
  fail(2);
  assert.deepEqual(summary(await locator.locate(["ann"])), ["west: ann"]);
  assert.equal(asked.length, 3);
});

test("disposing rejects what waits", async () => {
  const { locator, fail } = createLocator({});
  fail(Number.POSITIVE_INFINITY);
  const waiting = [locator.locate(["ann"]), locator.locate(Array.from({ length: 9 }, String))];
  const rejected = Promise.all(waiting.map((one) => assert.rejects(one)));
  await locator[Symbol.asyncDispose]();
  await rejected;
});
