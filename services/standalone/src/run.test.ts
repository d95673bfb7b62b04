import assert from "node:assert/strict";
import { it } from "node:test";
import { runStandalone } from "./run.ts";

/** Runs with arguments that start nothing, and keeps what it writes. */
async function run(args: readonly string[], env: Record<string, string> = {}) {
  const written = { out: "", err: "" };
  const code = await runStandalone({
    args,
    env,
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    host: {
      on: () => assert.fail("nothing runs"),
      off: () => assert.fail("nothing runs"),
      exit: () => assert.fail("nothing runs"),
    },
  });
  return { code, ...written };
}

it("explains itself", async () => {
  const { code, out } = await run(["--help"]);
  assert.equal(code, 0);
  assert.match(out, /--port N[\s\S]*PARLEY_GATEWAY_PORT/);
});

it("names the option that it does not know", async () => {
  const { code, err } = await run(["--prot", "1"]);
  assert.equal(code, 2);
  assert.match(err, /--prot/);
});

it("names the variable that is wrong, whether it came by an option or the environment", async () => {
  for (const { code, err } of [
    await run(["--port", "x"]),
    await run([], { PARLEY_GATEWAY_PORT: "x" }),
  ]) {
    assert.equal(code, 2);
    assert.match(err, /PARLEY_GATEWAY_PORT is "x"; expected/);
  }
});

it("refuses a log of a size that message ids cannot count", async () => {
  const { code, err } = await run([], { PARLEY_LOG_PARTITIONS: "2000" });
  assert.equal(code, 2);
  assert.match(err, /PARLEY_LOG_PARTITIONS/);
});

it("refuses a collector's address that is no URL, before anything starts", async () => {
  for (const endpoint of ["localhost:4318", "collector", "ftp://localhost"]) {
    const { code, err } = await run([], { PARLEY_TRACES_ENDPOINT: endpoint });
    assert.equal(code, 2, endpoint);
    assert.match(err, /PARLEY_TRACES_ENDPOINT is ".*"; expected an http or https URL/);
  }
});
