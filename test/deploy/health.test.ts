// deploy/health.mjs, as containers run it, against the hosts that it asks.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { it } from "node:test";
import { createHealth } from "@parley/platform/health";
import { createGrpcHost } from "@parley/platform/rpc/grpc-host";
import { repositoryRoot } from "../tidy/sources.ts";

async function ask(url: string): Promise<{ code: unknown; said: string }> {
  const child = spawn(process.execPath, [join(repositoryRoot, "deploy/health.mjs"), url]);
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  const [code] = await once(child, "close");
  return { code, said };
}

it("asks a service over gRPC, without the service token", async () => {
  const health = createHealth();
  const url = await (async () => {
    await using host = await createGrpcHost({
      routes: [],
      interceptors: [],
      address: { host: "127.0.0.1", port: 0 },
      serviceToken: "a-secret-of-the-test",
      health,
    });
    const address = `grpc://127.0.0.1:${host.address.port}`;
    assert.deepEqual(await ask(address), { code: 0, said: "" });
    health.set("log", false, "A write failed.");
    const answer = await ask(address);
    assert.equal(answer.code, 1);
    assert.match(answer.said, /it answers, and is not ready/);
    return address;
  })();
  const gone = await ask(url);
  assert.equal(gone.code, 1);
  assert.match(gone.said, /ECONNREFUSED/);
});

it("asks a gateway for its page", async () => {
  let status = 200;
  const server = createServer((request, response) => {
    response.writeHead(request.url === "/readyz" ? status : 404).end("because");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`;
    assert.deepEqual(await ask(url), { code: 0, said: "" });
    status = 503;
    const { code, said } = await ask(url);
    assert.equal(code, 1);
    assert.match(said, /503: because/);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
