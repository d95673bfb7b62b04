import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startTestGateway, type TestGateway } from "../testing/test-gateway.ts";

const RPC = "/parley.ops.v1.OpsService/GetServerInfo";
const call = (test: TestGateway, headers: Record<string, string> = {}) =>
  fetch(`${test.url}${RPC}`, {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json", ...headers },
  });

describe("HTTP pages", () => {
  it("say whether the process lives and whether it serves", async () => {
    await using test = await startTestGateway();
    const get = (path: string) => fetch(`${test.url}${path}`);
    assert.equal((await get("/healthz")).status, 200);
    assert.equal((await get("/readyz")).status, 200);
    test.health.set("log", false, "The disk is full.");
    assert.equal((await get("/healthz")).status, 200);
    const ready = await get("/readyz");
    assert.equal(ready.status, 503);
    const { components } = (await ready.json()) as { components: { reason: string }[] };
    assert.ok(components.some(({ reason }) => reason === "The disk is full."));
  });

  it("show metrics to this machine and to the operator", async () => {
    const operatorToken = "the-operator-token-of-tests";
    await using test = await startTestGateway({ config: { operatorToken } });
    const metrics = (headers: Record<string, string> = {}) =>
      fetch(`${test.url}/metrics`, { headers });
    const local = await metrics();
    assert.equal(local.status, 200);
    assert.match(await local.text(), /^parley_gateway_sessions 0$/m);
    const forwarded = { "x-forwarded-for": "203.0.113.7" };
    assert.equal((await metrics(forwarded)).status, 403);
    assert.equal((await metrics({ ...forwarded, authorization: "Bearer nonsense" })).status, 403);
    const authorization = `Bearer ${operatorToken}`;
    assert.equal((await metrics({ ...forwarded, authorization })).status, 200);
  });

  it("leave other paths to the static files, and to nobody", async () => {
    await using test = await startTestGateway({
      staticFiles: (request, response) => {
        if (request.url !== "/") return false;
        response.statusCode = 200;
        response.end("the page");
        return true;
      },
    });
    assert.equal(await (await fetch(`${test.url}/`)).text(), "the page");
    assert.equal((await fetch(`${test.url}/nothing`)).status, 404);
  });
});

describe("cross-origin rules", () => {
  it("let listed pages and pages of the same host call", async () => {
    const allowed = "https://chat.example.org";
    await using test = await startTestGateway({ config: { allowedOrigins: [allowed] } });
    for (const origin of [allowed, test.url]) {
      const preflight = await fetch(`${test.url}${RPC}`, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST" },
      });
      assert.equal(preflight.status, 204);
      assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
      assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /Authorization/);
      const answer = await call(test, { origin });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("access-control-allow-origin"), origin);
      assert.match(answer.headers.get("access-control-expose-headers") ?? "", /Grpc-Status/i);
    }
  });

  it("refuse other pages, and do not concern other clients", async () => {
    await using test = await startTestGateway();
    const refused = await call(test, { origin: "https://evil.example" });
    assert.equal(refused.status, 403);
    assert.equal(refused.headers.get("access-control-allow-origin"), null);
    const plain = await call(test);
    assert.equal(plain.status, 200);
    assert.equal(plain.headers.get("access-control-allow-origin"), null);
  });
});
