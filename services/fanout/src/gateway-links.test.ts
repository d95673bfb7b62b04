import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DeliverySchema } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { createGatewayLinks } from "./gateway-links.ts";
import { createTestGateway } from "./testing/test-gateway.ts";

function createLinks() {
  const clock = createManualClock();
  const opened: string[] = [];
  let closed = 0;
  const links = createGatewayLinks({
    clock,
    log: createSilentLogger(),
    observer: { onLeft: () => undefined, onGivenUp: () => undefined },
    gatewayTransport(gatewayId, gatewayAddress) {
      opened.push(`${gatewayId}@${gatewayAddress}`);
      const { transport } = createTestGateway();
      const disposable = { ...transport, [Symbol.asyncDispose]: async () => void closed++ };
      return disposable;
    },
  });
  return { links, clock, opened, closed: () => closed };
}

test("each gateway has one link, and a new address makes a new one", async () => {
  const { links, opened, closed } = createLinks();
  const first = links.get({ gatewayId: "west", gatewayAddress: "a:1" });
  assert.equal(links.get({ gatewayId: "west", gatewayAddress: "a:1" }), first);
  assert.notEqual(links.get({ gatewayId: "west", gatewayAddress: "b:1" }), first);
  assert.deepEqual(opened, ["west@a:1", "west@b:1"]);
  await links[Symbol.asyncDispose]();
  assert.equal(closed(), 2);
});

test("a link that was not used for a minute is closed", async () => {
  const { links, clock, closed } = createLinks();
  await using _links = links;
  const link = links.get({ gatewayId: "west", gatewayAddress: "" });
  links.get({ gatewayId: "east", gatewayAddress: "" });
  clock.advance(40_000);
  await new Promise<void>((resolve) => {
    link.deliver(create(DeliverySchema, { conversationId: "c", userIds: ["a"] }), 1, resolve);
  });
  clock.advance(40_000);
  assert.equal(links.count, 1);
  assert.equal(links.get({ gatewayId: "west", gatewayAddress: "" }), link);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(closed(), 1);
});
