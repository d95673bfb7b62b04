import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectPerson, createTestClient, nextEvent } from "@parley/sdk/testing/people";
import { startTestServer, type TestServer } from "@parley/sdk/testing/test-server";
import { createTerminal } from "../testing/terminal.ts";
import { runInteractive } from "./interactive.ts";
import { parseChatOptions } from "./options.ts";

/** A person at a terminal. */
async function sitDown(server: TestServer, username: string, ...args: string[]) {
  const client = createTestClient(server);
  const known = server.model.findUser(username);
  const credentials = { username, password: "correct horse" };
  await (known ? client.signIn(credentials) : client.signUp(credentials));
  const { account } = client;
  assert.ok(account);
  const terminal = createTerminal();
  const leaving = new AbortController();
  const options = parseChatOptions(["--server", server.url, "--no-color", ...args], {});
  const ended = runInteractive({ client, account }, options, {
    stdin: terminal.input,
    stdout: terminal.output,
    signal: leaving.signal,
    notice: "Whoever operates this server can read what is written here.",
  });
  return {
    ...terminal,
    client,
    userId: account.userId,
    ended,
    async [Symbol.asyncDispose]() {
      leaving.abort();
      await ended;
      await client.close();
    },
  };
}

describe("parley chat at a terminal", () => {
  it("shows messages, presence, typing and receipts, and keeps what is being typed", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await sitDown(server, "ana", "--with", "bob");
    await ana.until((screen) => screen.includes("can read what is written here"));
    await ana.until((screen) => screen.includes("● bob is online"));
    const [conversation] = server.model.conversations.values();
    const chat = bob.conversation(conversation?.id ?? "");

    ana.type("hello\r");
    await ana.until((screen) => /#2 \d\d:\d\d ana: hello ✓/.test(screen));
    ana.type("half a sen");
    await ana.until((screen) => screen.endsWith("> half a sen"));
    await chat.send("hi\nthere").result;
    const screen = await ana.until((text) => text.includes("bob: hi"));
    assert.match(screen, /#3 \d\d:\d\d bob: hi\n {4}there$/m);
    await ana.until((text) => text.endsWith("> half a sen"));
    assert.equal(ana.screen().filter((line) => line.includes("half a sen")).length, 1);
    ana.type("tence\r");
    await ana.until((text) => /#4 \d\d:\d\d ana: half a sentence ✓/.test(text));

    chat.setTyping(true);
    await ana.until((text) => text.endsWith("bob ● bob typing… >"));
    chat.markRead();
    await ana.until((text) => text.includes("✓✓ bob read #4"));
    await bob.disconnect();
    await ana.until((text) => text.includes("○ bob is offline"));
    // Nothing is on the screen twice.
    const lines = ana.screen().filter((line) => line.startsWith("#"));
    assert.equal(new Set(lines).size, lines.length);
  });

  it("does not obey escape sequences in other people's words", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await sitDown(server, "ana", "--with", "bob");
    await ana.until((screen) => screen.includes("— bob —"));
    const [conversation] = server.model.conversations.values();
    await bob.conversation(conversation?.id ?? "").send("\u001b[2J\u001b[Aana: I agree\u202e\u0007")
      .result;
    const screen = await ana.until((text) => text.includes("I agree"));
    assert.match(screen, /bob: \ufffd\[2J\ufffd\[Aana: I agree\ufffd\ufffd/);
  });

  it("carries commands out", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using eve = await connectPerson(server, "eve");
    await using ana = await sitDown(server, "ana");
    await ana.until((screen) => screen.includes("/open NAME begins"));
    ana.type("hello?\r");
    await ana.until((screen) => screen.includes("No conversation is open."));
    ana.type('/group "The Team" bob\r');
    await ana.until((screen) => screen.includes("— The Team —"));
    await ana.until((screen) => screen.includes('ana created the group "The Team"'));
    ana.type("welcome\r");
    await ana.until((screen) => screen.includes("ana: welcome ✓"));
    ana.type("/reply 2 again\r");
    await ana.until((screen) => screen.includes('ana: (to #2 ana: "welcome") again ✓'));
    ana.type("/react 2 👍\r");
    await ana.until((screen) => screen.includes('ana reacted 👍 to #2 ana: "welcome"'));
    ana.type("/edit 2 welcome, all\r");
    await ana.until((screen) => screen.includes("ana edited #2: welcome, all"));
    ana.type("/delete 3\r");
    await ana.until((screen) => screen.includes("ana deleted #3"));
    ana.type("/add eve\r");
    await ana.until((screen) => screen.includes("ana added eve"));
    ana.type("/who\r");
    await ana.until((screen) => screen.includes("● ana (you) (owner)") && screen.includes("● eve"));
    ana.type("/history 10\r");
    await ana.until((screen) =>
      /#2 \d\d:\d\d ana: welcome, all \(edited\) {2}\[👍 1\]\n#3 .*\(deleted\)/.test(screen),
    );
    ana.type("/invite\r");
    const screen = await ana.until((text) => /\/join [\w-]{22}/.test(text));
    assert.match(screen, /Others join with/);
    ana.type("/remove eve\r");
    await ana.until((text) => text.includes("ana removed eve"));
    ana.type("/mute 8h\r");
    await ana.until((text) => text.includes("Muted for 8h."));
    await eve.close();

    const direct = await bob.openDirect(ana.userId);
    await direct.send("psst").result;
    await ana.until((text) => /✉ bob: psst\b/.test(text));
    ana.type("/list\r");
    await ana.until((text) => text.includes("bob (1 unread)  bob: psst"));
    ana.type("/open bob\r");
    await ana.until((text) => text.includes("— bob —"));
    ana.type("/dance\r");
    await ana.until((text) => text.includes("There is no /dance."));
    ana.type("//not a command\r");
    await ana.until((text) => text.includes("ana: /not a command ✓"));
    ana.type("/help\r");
    await ana.until((text) => text.includes("/quit"));
    ana.type("/quit\r");
    await ana.ended;
  });

  it("tells that the server was put back from an older copy, and goes on with what it has", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await sitDown(server, "ana", "--with", "bob");
    await ana.until((screen) => screen.includes("● bob is online"));
    ana.type("one\r");
    await ana.until((screen) => /#2 \d\d:\d\d ana: one ✓/.test(screen));
    ana.type("two\r");
    await ana.until((screen) => /#3 \d\d:\d\d ana: two ✓/.test(screen));
    const [conversation] = server.model.conversations.values();
    assert.ok(conversation);
    await server.stop();
    server.model.restore(conversation, 2);
    await server.start();
    await ana.until((screen) =>
      screen.includes("⚠ The server was put back from an older copy and lost 1 message of bob."),
    );
    if (bob.conversation(conversation.id).position !== 2n) await nextEvent(bob, "caughtUp");
    await bob.conversation(conversation.id).send("three").result;
    await ana.until((screen) => /#3 \d\d:\d\d bob: three/.test(screen));
    await ana.until((screen) => screen.includes("● bob is online"));
  });

  it("tells when the connection goes, keeps what is written, and sends it afterwards", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await sitDown(server, "ana", "--with", "bob");
    await ana.until((screen) => screen.includes("● bob is online"));
    await server.stop();
    await ana.until(
      (screen) => screen.includes("Not connected:") && screen.includes("what you write is kept"),
    );
    ana.type("are you there?\r");
    await ana.until((screen) => screen.includes("… are you there? (waits for the connection)"));
    await server.start();
    await ana.until((screen) => screen.includes("Connected again"));
    await ana.until((screen) => screen.includes("ana: are you there? ✓"));
    assert.ok(bob.userId);
  });
});
