import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseInteger } from "@parley/platform/config";
import { startTestServer } from "@parley/sdk/testing/test-server";
import { run } from "../testing/run-parley.ts";
import { checkConfiguration, judge } from "./configuration.ts";
import { checkDataDirectory } from "./data-directory.ts";
import { checkNode } from "./node.ts";
import { checkPort } from "./port.ts";
import { checkServer } from "./server.ts";

async function createDirectory() {
  const directory = await mkdtemp(join(tmpdir(), "parley-doctor-"));
  return {
    directory,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** A program that holds a port. */
async function holdPort() {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

describe("the doctor", () => {
  it("knows which Node is new enough", async () => {
    const levels = await Promise.all(
      ["24.9.0", "24.7.0", "24.6.9", "20.20.2", "25.0.0"].map(checkNode),
    );
    assert.deepEqual(
      levels.map(([finding]) => finding?.level),
      ["ok", "ok", "problem", "problem", "ok"],
    );
  });

  it("asks the server's own configuration what is wrong", () => {
    const read = (env: Readonly<Record<string, string | undefined>>) => [
      parseInteger("PARLEY_GATEWAY_PORT", env.PARLEY_GATEWAY_PORT, { default: 8080, max: 65_535 }),
      parseInteger("PARLEY_LOG_PARTITIONS", env.PARLEY_LOG_PARTITIONS, { default: 16 }),
    ];
    const findings = judge(
      {
        PARLEY_GATEWAY_PORT: "99999",
        PARLEY_LOG_PARTITIONS: "many",
        PARLEY_GATEWAY_PROT: "1",
        PATH: "x",
      },
      read,
    );
    assert.deepEqual(
      findings.map(({ level, what, remedy }) => [
        level,
        what.split(" ")[0],
        remedy?.split(" ").slice(0, 3).join(" "),
      ]),
      [
        ["problem", "PARLEY_GATEWAY_PORT", "It expects a"],
        ["problem", "PARLEY_LOG_PARTITIONS", "It expects a"],
        ["warning", "PARLEY_GATEWAY_PROT", "Is PARLEY_GATEWAY_PORT meant?"],
      ],
    );
    assert.deepEqual(
      judge({ PATH: "x" }, read).map(({ level }) => level),
      ["ok"],
    );
  });

  it("looks at the TLS files and the proxies that are set", async () => {
    const tls = {
      PARLEY_GATEWAY_TLS_CERTIFICATE: "/none.pem",
      PARLEY_GATEWAY_TLS_KEY: "/none.key",
    };
    const [missing, ...others] = await checkConfiguration(tls);
    assert.equal(missing?.level, "problem");
    assert.match(
      missing?.what ?? "",
      /^PARLEY_GATEWAY_TLS_CERTIFICATE is \/none.pem, and there is no/,
    );
    assert.deepEqual(others, []);
    const [proxies] = await checkConfiguration({
      ...tls,
      PARLEY_GATEWAY_TRUSTED_PROXIES: "proxy.example",
    });
    assert.equal(proxies?.level, "problem");
    assert.match(proxies?.remedy ?? "", /proxy\.example is neither an IP address nor a network/);
  });

  it("measures the data directory, and leaves nothing in it", async () => {
    await using place = await createDirectory();
    const findings = await checkDataDirectory(join(place.directory, "not", "yet", "there"));
    assert.match(findings[0]?.what ?? "", /will be created/);
    assert.match(findings[1]?.what ?? "", /GiB free on disk/);
    assert.match(findings[2]?.what ?? "", /A sync to disk takes [\d.]+ ms/);
    assert.deepEqual(await readdir(place.directory), []);
    // Whoever runs this, nothing can be created there.
    const [problem] = await checkDataDirectory("/proc/parley-data");
    assert.equal(problem?.level, "problem");
    assert.match(problem?.remedy ?? "", /PARLEY_DATA_DIRECTORY/);
  });

  it("tells a free port from a taken one, and from a Parley server", async () => {
    await using held = await holdPort();
    const [taken] = await checkPort("127.0.0.1", held.port);
    assert.equal(taken?.level, "problem");
    assert.match(taken?.what ?? "", /used by another program/);
    await using server = await startTestServer();
    const [parley] = await checkPort("127.0.0.1", Number(new URL(server.url).port));
    assert.match(parley?.what ?? "", /A Parley server \(version 0\.0\.0\) already runs/);
    const [elsewhere] = await checkPort("203.0.113.1", 0);
    assert.equal(elsewhere?.level, "problem");
    const [free] = await checkPort("127.0.0.1", 0);
    assert.equal(free?.level, "ok");
    const [everywhere] = await checkPort("*", 0);
    assert.equal(everywhere?.level, "ok");
  });

  it("asks a running server", async () => {
    await using server = await startTestServer();
    const [answers] = await checkServer(server.url);
    assert.equal(answers?.level, "ok");
    await server.stop();
    const [gone] = await checkServer(server.url);
    assert.match(gone?.what ?? "", /No Parley server answers/);
    const [wrong] = await checkServer("http://");
    assert.match(wrong?.what ?? "", /is no address/);
  });

  it("exits with 0 if the server can run, and with 1 and what to do if not", async () => {
    await using place = await createDirectory();
    await using held = await holdPort();
    const data = ["--data", place.directory];
    const well = await run(["doctor", ...data, "--port", "0"]);
    assert.equal(well.code, 0, well.stdout);
    assert.match(well.stdout, /The server can run here/);
    const ill = await run(["doctor", ...data, "--port", String(held.port)], {
      PARLEY_DRAIN_TIMEOUT: "soon",
    });
    assert.equal(ill.code, 1);
    assert.match(
      ill.stdout,
      /✗ PARLEY_DRAIN_TIMEOUT has a value[\s\S]*✗ Port \d+ is used[\s\S]*2 to mend/,
    );
  });
});
