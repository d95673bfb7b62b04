import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { run } from "./testing/run-parley.ts";

describe("parley", () => {
  it("says what it can do", async () => {
    for (const args of [[], ["--help"], ["help"]]) {
      const { code, stdout } = await run(args);
      assert.equal(code, 0);
      assert.match(stdout, /parley serve[\s\S]*parley chat[\s\S]*parley doctor/);
      assert.match(stdout, /readable by the server until end-to-end encryption lands/);
    }
    const chat = await run(["chat", "--help"]);
    assert.match(chat.stdout, /--wait-messages N/);
    assert.deepEqual((await run(["help", "chat"])).stdout, chat.stdout);
    assert.match((await run(["doctor", "-h"])).stdout, /parley doctor \[options\]/);
  });

  it("refuses what it does not know, in two lines", async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["dance"], /There is no command "dance"/],
      [["chat", "--nonsense"], /'--nonsense'/],
      [["chat", "--user", "ana", "word"], /"word" is not expected here/],
      [["chat", "--with", "a", "--group", "b"], /Only one of --with, --group and --conversation/],
      [["chat", "--transport", "pigeon"], /--transport takes one of auto, websocket/],
      [["chat", "--wait-seconds", "soon"], /--wait-seconds takes a whole number/],
      [["chat", "--server", "http://"], /--server takes an address/],
    ];
    for (const [args, expected] of cases) {
      const { code, stderr } = await run(args);
      assert.equal(code, 2, args.join(" "));
      assert.match(stderr, expected);
      assert.equal(stderr.trim().split("\n").length, 2, stderr);
    }
  });

  it("asks who one is when nobody is known", async () => {
    const { code, stderr } = await run(["chat"], { XDG_CONFIG_HOME: "/nonexistent" });
    assert.equal(code, 2);
    assert.match(stderr, /Say who you are with --user NAME/);
  });
});
