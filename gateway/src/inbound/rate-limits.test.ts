import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { DevicePlatform } from "@parley/gen/parley/account/v1/account_pb";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf, retryAfterMsOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway, UNLIMITED } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";
import { createRateLimits } from "./rate-limits.ts";

const rates = {
  sendsPerSecond: 2,
  callsPerSecond: 10,
  opensPerMinute: 4,
  addressOpensPerMinute: 6,
  failuresPerMinute: 3,
  signUpsPerMinute: 3,
  signInsPerMinute: 5,
};

/** How often it succeeds before it is refused. */
function countUntilRefused(take: () => void): number {
  for (let count = 0; count < 10_000; count++) {
    try {
      take();
    } catch (error) {
      assert.equal(reasonOf(error), "RATE_LIMITED");
      assert.ok((retryAfterMsOf(error) ?? 0) > 0);
      return count;
    }
  }
  return Number.POSITIVE_INFINITY;
}

describe("rate limits", () => {
  it("count per device and per person", () => {
    const clock = createManualClock();
    const limits = createRateLimits(rates, clock);
    const phone = { userId: "u", deviceId: "phone" };
    const others = [1, 2, 3].map((number) => ({ userId: "u", deviceId: `other${number}` }));
    assert.equal(
      countUntilRefused(() => limits.takeSend(phone)),
      10,
    );
    const further = others.map((other) => countUntilRefused(() => limits.takeSend(other)));
    assert.ok(further.reduce((sum, count) => sum + count, 0) <= 10, "the person is limited too");
    assert.equal(
      countUntilRefused(() => limits.takeSend({ userId: "v", deviceId: "x" })),
      10,
    );
    clock.advance(1000);
    assert.ok(countUntilRefused(() => limits.takeSend(phone)) >= 1);
  });

  it("count strangers per address, and sign-ups and sign-ins strictly", () => {
    const limits = createRateLimits(rates, createManualClock());
    assert.equal(
      countUntilRefused(() => limits.takeSignUp("a")),
      3,
    );
    assert.equal(
      countUntilRefused(() => limits.takeSignUp("b")),
      3,
    );
    assert.equal(
      countUntilRefused(() => limits.takeSignIn("a")),
      5,
    );
    assert.equal(
      countUntilRefused(() => limits.takeCall(undefined, "a")),
      200,
    );
  });

  it("refuse RPCs with a retry delay", async () => {
    await using test = await startTestGateway({ config: { rates } });
    const client = rpcClient(AccountService, { url: test.url });
    const signUp = () =>
      client.signUp({
        username: "ana",
        password: "long enough",
        device: { name: "d", platform: DevicePlatform.NODE },
      });
    for (let count = 0; count < 3; count++) await signUp();
    await assert.rejects(signUp(), (error) => {
      assert.equal(reasonOf(error), "RATE_LIMITED");
      assert.ok((retryAfterMsOf(error) ?? 0) > 1000);
      return (error as { code: Code }).code === Code.ResourceExhausted;
    });
  });

  it("take addresses of one /64 for one, and none at all for nobody", () => {
    const limits = createRateLimits(rates, createManualClock());
    let next = 0;
    const anywhere = () => `2001:db8::${(next++).toString(16)}`;
    assert.equal(
      countUntilRefused(() => limits.takeSignUp(anywhere())),
      3,
    );
    assert.equal(
      countUntilRefused(() => limits.takeOpen(undefined, anywhere())),
      6,
    );
    limits.takeSignUp("2001:db8:0:1::");
    assert.equal(
      countUntilRefused(() => limits.takeCall(undefined, "")),
      Number.POSITIVE_INFINITY,
    );
  });

  it("count opened sessions per device and per address", () => {
    const limits = createRateLimits(rates, createManualClock());
    const open = (deviceId: string, address: string) => () =>
      limits.takeOpen({ userId: "u", deviceId }, address);
    assert.equal(countUntilRefused(open("phone", "")), 4);
    assert.equal(countUntilRefused(open("laptop", "a")), 4);
    assert.equal(countUntilRefused(open("tablet", "a")), 2);
    assert.equal(countUntilRefused(open("desktop", "b")), 4);
  });

  it("limit typing by the person, however many conversations are named", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    for (let count = 0; count < 100; count++) {
      socket.send({ case: "typing", value: { conversationId: newUuid(), typing: true } });
    }
    // Frames of a session are handled in their order, so all of them were when this is answered.
    await socket.answer(socket.send({ case: "heartbeat", value: {} }));
    const { typing } = test.services;
    assert.ok(typing.length >= 10 && typing.length < 20, `${typing.length} were passed on`);
  });

  it("refuse wrong tokens of an address, of devices and of the operator, and calls without any", async () => {
    const operatorToken = "the-operator's-own-token";
    await using test = await startTestGateway({
      config: {
        rates: { ...UNLIMITED, failuresPerMinute: 3, callsPerSecond: 5 },
        trustedProxies: ["127.0.0.1"],
        operatorToken,
      },
    });
    const forged = "eyJhbGciOiJFZERTQSJ9.e30.AAAA";
    const attempt = (address: string, token: string | undefined, path: string) =>
      callFrom(test.url, address, token, path);
    const account = "parley.account.v1.AccountService/GetAccount";
    const status = "parley.ops.v1.OpsService/GetStatus";
    const codes = async (count: number, call: () => Promise<string>) => {
      const seen = [];
      for (let at = 0; at < count; at++) seen.push(await call());
      return seen;
    };
    const wrong = ["TOKEN_INVALID", "TOKEN_INVALID", "TOKEN_INVALID", "TOKEN_INVALID"];
    assert.deepEqual(await codes(6, () => attempt("192.0.2.1", forged, account)), [
      ...wrong,
      "RATE_LIMITED",
      "RATE_LIMITED",
    ]);
    // A stale token is not in the way of signing in again.
    assert.equal(
      await attempt("192.0.2.1", forged, "parley.ops.v1.OpsService/GetServerInfo"),
      "OK",
    );
    const guessed = await codes(6, () => attempt("192.0.2.2", "a-guess-of-the-token", status));
    assert.deepEqual(guessed.slice(3), ["OPERATOR_TOKEN_REQUIRED", "RATE_LIMITED", "RATE_LIMITED"]);
    assert.equal(await attempt("192.0.2.2", operatorToken, status), "RATE_LIMITED");
    assert.equal(await attempt("192.0.2.3", operatorToken, status), "OK");
    const pages = await codes(6, () => attempt("192.0.2.4", "a-guess-of-the-token", "metrics"));
    assert.deepEqual(pages, ["403", "403", "403", "403", "429", "429"]);
    // 5 a second of one device, four times as many of an address, for five seconds.
    const silent = await codes(300, () => attempt("192.0.2.5", undefined, account));
    assert.deepEqual([silent[99], silent[299]], ["DEVICE_REQUIRED", "RATE_LIMITED"]);
  });

  it("refuse to open sessions too often, on every road", async () => {
    const config = { rates: { ...UNLIMITED, opensPerMinute: 3, addressOpensPerMinute: 8 } };
    await using test = await startTestGateway({ config });
    const ana = await test.person();
    for (let count = 0; count < 3; count++) {
      const socket = await TestSocket.open(test.port, { accessToken: ana.token });
      await socket[Symbol.asyncDispose]();
    }
    await using refused = await TestSocket.connect(test.port);
    refused.send({ case: "open", value: { accessToken: ana.token, positionsComplete: true } });
    const goodbye = await refused.next("goodbye");
    assert.equal(goodbye.reason, GoodbyeReason.RATE_LIMITED);
    assert.ok(goodbye.reconnectDelay !== undefined && durationMs(goodbye.reconnectDelay) > 1000);
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const limited = (error: unknown) => reasonOf(error) === "RATE_LIMITED";
    await assert.rejects(client.poll({ open: { positionsComplete: true } }), limited);
    const stream = client.subscribe({ open: { positionsComplete: true } });
    await assert.rejects(stream[Symbol.asyncIterator]().next(), limited);
    // Another device of the address has its own, until the address has spent what is left.
    const ben = await test.person();
    const benClient = rpcClient(RealtimeService, { url: test.url, token: ben.token });
    for (let count = 0; count < 3; count++) {
      await benClient.poll({ open: { positionsComplete: true } });
    }
    await using late = await TestSocket.connect(test.port);
    assert.equal(late.closeCode, undefined);
    await assert.rejects(TestSocket.connect(test.port), /429/);
  });

  it("verify a token once, and count forged ones of sockets", async () => {
    const config = { rates: { ...UNLIMITED, failuresPerMinute: 1 } };
    await using test = await startTestGateway({ config });
    const ana = await test.person();
    const forged = ana.token.replace(/\.(.)/, (_, first) => `.${first === "e" ? "f" : "e"}`);
    const reasons = [];
    for (let count = 0; count < 4; count++) {
      await using socket = await TestSocket.connect(test.port);
      socket.send({ case: "open", value: { accessToken: forged, positionsComplete: true } });
      reasons.push((await socket.next("goodbye")).reason);
    }
    const { UNAUTHENTICATED, RATE_LIMITED } = GoodbyeReason;
    assert.deepEqual(reasons, [UNAUTHENTICATED, UNAUTHENTICATED, RATE_LIMITED, RATE_LIMITED]);
  });
});

/** The reason (or the status, or OK) of a call that comes from an address, through a proxy on this machine. */
async function callFrom(url: string, address: string, token: string | undefined, path: string) {
  const rpc = path.includes("/");
  const response = await fetch(`${url}/${path}`, {
    method: rpc ? "POST" : "GET",
    headers: {
      "x-forwarded-for": address,
      ...(rpc ? { "content-type": "application/json" } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(rpc ? { body: "{}" } : {}),
  });
  const text = await response.text();
  if (response.ok) return "OK";
  if (!rpc) return String(response.status);
  const { details } = JSON.parse(text) as { details?: { debug?: { reason?: string } }[] };
  return details?.find((detail) => detail.debug?.reason)?.debug?.reason ?? text;
}
