// The server as a process: what an operator reads when it cannot start, and how it ends when nobody reads any more.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

const main = new URL("./main.ts", import.meta.url).pathname;
/** Of a stop with nothing to finish; the whole takes about a tenth of this. */
const DRAIN_MS = 5000;
/** A start takes about a second. */
const PROCESS_MS_MAX = 30_000;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "parley-process-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function start(environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main], {
    cwd: directory,
    env: {
      PATH: process.env.PATH,
      PARLEY_DATA_DIRECTORY: join(directory, "data"),
      PARLEY_GATEWAY_PORT: "0",
      PARLEY_DRAIN_TIMEOUT: `${DRAIN_MS}ms`,
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
    // One that starts where it should refuse would run for ever.
    timeout: PROCESS_MS_MAX,
  });
  const written = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    written.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    written.err += chunk;
  });
  return { child, written, exited: once(child, "exit") as Promise<[number | null]> };
}

/** What a server that cannot start tells beside its log, and its exit code. */
async function refusal(environment: Record<string, string>) {
  const { written, exited } = start(environment);
  const [code] = await exited;
  assert.doesNotMatch(written.err, /\n\s+at |"stack"/, "no stack");
  const lines = written.err.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
  return { code, lines };
}

function makePair(name: string) {
  const [certificate, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost"];
  execFileSync("openssl", ["req", "-x509", ...curve, ...files], { stdio: "ignore" });
  return { certificate, key };
}

describe("a server that cannot start", () => {
  it("names the port that another program has", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" ? String(address?.port) : "";
    const { code, lines } = await refusal({ PARLEY_GATEWAY_PORT: port });
    other.close();
    assert.equal(code, 1);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0] ?? "", new RegExp(`^PARLEY_GATEWAY_PORT is ${port}, .*another program`));
    assert.match(lines[0] ?? "", /set another port.*parley doctor/);
  });

  it("names the host that is no address of this machine", async () => {
    const { code, lines } = await refusal({ PARLEY_GATEWAY_HOST: "203.0.113.1" });
    assert.equal(code, 1);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0] ?? "", /^PARLEY_GATEWAY_HOST is 203\.0\.113\.1, .*no address of this/);
  });

  it("names the TLS file that is missing, none, or another's", async () => {
    const [one, two] = [makePair("one"), makePair("two")];
    const text = join(directory, "text");
    await writeFile(text, "no PEM\n");
    for (const [certificate, key, expected] of [
      [join(directory, "none"), one.key, /^PARLEY_GATEWAY_TLS_CERTIFICATE is .*none, and there is/],
      [one.certificate, directory, /^PARLEY_GATEWAY_TLS_KEY is .*, and that is a folder/],
      [text, one.key, /^PARLEY_GATEWAY_TLS_CERTIFICATE is .*text, and that file is no PEM cert/],
      [one.certificate, text, /^PARLEY_GATEWAY_TLS_KEY is .*text, and that file is no PEM private/],
      [one.certificate, two.key, /^PARLEY_GATEWAY_TLS_KEY is .*two.key, .*not the key of the cert/],
    ] as const) {
      const { code, lines } = await refusal({
        PARLEY_GATEWAY_TLS_CERTIFICATE: certificate,
        PARLEY_GATEWAY_TLS_KEY: key,
      });
      assert.equal(code, 1);
      assert.equal(lines.length, 1, lines.join("\n"));
      assert.match(lines[0] ?? "", expected);
    }
  });

  it("names the variable that cannot be used, before anything is made", async () => {
    for (const [name, value] of [
      ["PARLEY_GATEWAY_TRUSTED_PROXIES", "proxy.example"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "white space in a token"],
      ["PARLEY_GATEWAY_SENDS_PER_SECOND", "NaN"],
      ["PARLEY_DIRECTORY_SIGNING_KEY_DAYS", "-1"],
    ] as const) {
      const { code, lines } = await refusal({ [name]: value });
      assert.equal(code, 2);
      assert.match(lines[0] ?? "", new RegExp(`^${name} is .*; expected `));
    }
  });

  it("says which signing key is none", async () => {
    const { code, lines } = await refusal({ PARLEY_DIRECTORY_SIGNING_KEY: "secret" });
    assert.equal(code, 1);
    assert.deepEqual(lines, ["PARLEY_DIRECTORY_SIGNING_KEY is no JSON object"]);
    const future = await refusal({ PARLEY_DIRECTORY_SIGNING_KEYS_SINCE: "2999-01-01T00:00:00Z" });
    assert.equal(future.code, 1);
    assert.match(future.lines[0] ?? "", /^PARLEY_DIRECTORY_SIGNING_KEYS_SINCE is .* to come/);
  });
});

describe("a server whose parent is gone", () => {
  it("goes on without anybody who reads its output, and stops when it is told to", async () => {
    const { child, written, exited } = start({ PARLEY_LOG_LEVEL: "debug" });
    try {
      while (!/ready on/.test(written.out)) await once(child.stdout, "data");
      const url = /ready on (\S+)/.exec(written.out)?.[1];
      child.stdout.destroy();
      child.stderr.destroy();
      // Each of these is a line at `debug`, and the pipe's other end is closed.
      for (let count = 0; count < 20; count++) {
        const response = await fetch(`${url}/parley.account.v1.AccountService/GetAccount`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: "{}",
          signal: AbortSignal.timeout(DRAIN_MS),
        });
        assert.equal(response.status, 401);
        await response.text();
      }
      child.kill("SIGTERM");
      const late = new Promise((resolve) => setTimeout(resolve, DRAIN_MS, "late").unref());
      assert.deepEqual(await Promise.race([exited, late]), [0, null]);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("keeps serving while somebody holds its output and does not read it", async () => {
    const { child, written, exited } = start({ PARLEY_LOG_LEVEL: "debug" });
    try {
      while (!/ready on/.test(written.out)) await once(child.stdout, "data");
      const url = /ready on (\S+)/.exec(written.out)?.[1];
      child.stderr.pause();
      // Some more than a pipe and a stream hold.
      for (let count = 0; count < 600; count++) {
        const response = await fetch(`${url}/parley.account.v1.AccountService/GetAccount`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: "{}",
          signal: AbortSignal.timeout(DRAIN_MS),
        });
        await response.text();
      }
      child.kill("SIGTERM");
      const late = new Promise((resolve) => setTimeout(resolve, DRAIN_MS, "late").unref());
      assert.deepEqual(await Promise.race([exited, late]), [0, null]);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
