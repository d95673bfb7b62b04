import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DeliverySchema } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { createGatewayLinks } from "./gateway-links.ts";
import { createTestGateway, type TestGateway } from "./testing/test-gateway.ts";

function createLinks() {
  const clock = createManualClock();
  const opened: string[] = [];
  let closed = 0;
  const gateways: TestGateway[] = [];
  const registered = new Set<string>();
  const asked: (readonly string[])[] = [];
  const links = createGatewayLinks({
    clock,
    locator: {
      async locate(userIds) {
        asked.push(userIds);
        return [...registered].map((gatewayId) => ({ gatewayId, gatewayAddress: "", userIds: [] }));
      },
    },
    log: createSilentLogger(),
    observer: { onLeft: () => undefined, onGivenUp: () => undefined },
    gatewayTransport(gatewayId, gatewayAddress) {
      opened.push(`${gatewayId}@${gatewayAddress}`);
      const gateway = createTestGateway();
      gateways.push(gateway);
      const { transport } = gateway;
      const disposable = { ...transport, [Symbol.asyncDispose]: async () => void closed++ };
      return disposable;
    },
  });
  return { links, clock, opened, gateways, registered, asked, closed: () => closed };
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

test("a link that owes its gateway a notice stays until the registry knows it no more", async () => {
  const { links, clock, gateways, registered, asked } = createLinks();
  await using _links = links;
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  registered.add("west");
  const link = links.get({ gatewayId: "west", gatewayAddress: "" });
  const [gateway] = gateways;
  assert.ok(gateway !== undefined);
  gateway.mode = "gone";
  const waited = new Promise<void>((resolve) => {
    link.deliver(create(DeliverySchema, { conversationId: "c", userIds: ["a"] }), 1, resolve);
  });
  clock.advance(130_000);
  await waited;
  await turn();
  assert.equal(links.count, 1);
  assert.deepEqual(asked[0], ["a"]);
  registered.clear();
  clock.advance(10_000);
  await turn();
  assert.equal(links.count, 0);
});
