import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { describe, it } from "node:test";
import { Code } from "@parley/sdk";
import { refusal } from "@parley/sdk/testing/test-model";
import { startTestServer, type TestServer } from "@parley/sdk/testing/test-server";
import { createHome, run, start } from "../testing/run-parley.ts";

type Home = Awaited<ReturnType<typeof createHome>>;

function person(server: TestServer, home: Home, user: string, ...more: string[]): string[] {
  const who = ["--server", server.url, "--user", user, "--password-file", home.passwordFile];
  return ["chat", ...who, ...more];
}

/** The texts of a conversation as the server has them. */
function texts(server: TestServer): string[] {
  return [...server.model.conversations.values()]
    .flatMap((conversation) => conversation.entries)
    .filter((entry) => entry.body.case === "payload")
    .map((entry) => Buffer.from(entry.body.value as Uint8Array).toString("latin1"));
}

describe("parley chat in a script", () => {
  it("sends each line in order and exits with 0 when all were accepted", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    const bob = await run(person(server, home, "bob", "--sign-up"), home.env);
    assert.deepEqual([bob.code, bob.stderr], [0, ""]);
    const lines = Array.from({ length: 300 }, (_, index) => `line ${index}`);
    const args = person(server, home, "ana", "--sign-up", "--with", "bob");
    const ana = await run(args, home.env, `${lines.join("\n")}\n\n`);
    assert.deepEqual([ana.code, ana.stderr, ana.stdout], [0, "", ""]);
    assert.deepEqual(
      texts(server).map((text) => /line \d+/.exec(text)?.[0]),
      lines,
    );
  });

  it("prints what others write, and waits for as many messages as it was told", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    await run(person(server, home, "bob", "--sign-up"), home.env);
    await run(person(server, home, "ana", "--sign-up"), home.env);
    const ana = start(
      person(server, home, "ana", "--with", "bob", "--wait-messages", "2"),
      home.env,
    );
    ana.process.stdin.end("hello\n");
    const bob = await run(
      person(server, home, "bob", "--with", "ana", "--wait-messages", "1"),
      home.env,
      "hi\nhow are you?\n",
    );
    assert.equal(bob.code, 0, bob.stderr);
    assert.match(bob.stdout, /^ana: hello$/m);
    const finished = await ana.finished;
    assert.equal(finished.code, 0, finished.stderr);
    assert.match(finished.stdout, /^bob: hi\nbob: how are you\?$/m);
  });

  it("tells programs everything as JSON", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    await run(person(server, home, "bob", "--sign-up"), home.env);
    const args = person(
      server,
      home,
      "ana",
      "--sign-up",
      "--group",
      "Team",
      "--members",
      "bob",
      "--json",
    );
    const ana = await run(args, home.env, "hello\n");
    assert.equal(ana.code, 0, ana.stderr);
    const events = ana.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const message = events.find((event) => event.event === "message" && event.kind === "text");
    assert.equal(message.text, "hello");
    assert.equal(message.user, "ana");
    assert.equal(message.seq, 2);
    const sent = events.find((event) => event.event === "send" && event.state === "sent");
    assert.equal(sent.clientMessageId, message.clientMessageId);
    assert.ok(events.some((event) => event.event === "caughtUp"));
  });

  it("exits with 5 and the reason when the server refuses", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    await run(person(server, home, "bob", "--sign-up"), home.env);
    server.sessions.faults.refuseSend = () =>
      refusal(Code.PermissionDenied, "CANNOT_SEND", "This person takes no messages.");
    const args = person(server, home, "ana", "--sign-up", "--with", "bob");
    const { code, stderr } = await run(args, home.env, "hello\n");
    assert.equal(code, 5);
    assert.match(
      stderr,
      /^parley: 1 of 1 messages were not accepted\. This person takes no messages from you\.\n.+\n$/,
    );
  });

  it("exits with 6 when what was waited for did not come", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    const args = person(
      server,
      home,
      "ana",
      "--sign-up",
      "--wait-messages",
      "1",
      "--wait-seconds",
      "1",
    );
    const { code, stderr } = await run(args, home.env);
    assert.equal(code, 6);
    assert.match(stderr, /0 of 1 messages came within 1 seconds/);
  });

  it("exits with 3 when there is no server, and with 4 for a wrong password", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    await run(person(server, home, "ana", "--sign-up"), home.env);
    const elsewhere = { ...home.env, XDG_CONFIG_HOME: `${home.directory}/other` };
    for (const known of server.model.people.values()) known.password = "another";
    const wrong = await run(person(server, home, "ana"), elsewhere);
    assert.equal(wrong.code, 4);
    assert.match(wrong.stderr, /The username or the password is wrong\.\n.*--sign-up/);
    await server.stop();
    const gone = await run(person(server, home, "ana"), home.env);
    assert.equal(gone.code, 3);
    assert.match(
      gone.stderr,
      /Cannot reach http:\/\/127\.0\.0\.1:\d+.*\nStart one with `parley serve`/,
    );
  });

  it("tells what a server lost that was put back from an older copy, and keeps it", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    await run(person(server, home, "bob", "--sign-up"), home.env);
    await run(
      person(server, home, "ana", "--sign-up", "--with", "bob"),
      home.env,
      "one\ntwo\nsix\n",
    );
    const [conversation] = server.model.conversations.values();
    assert.ok(conversation);
    server.model.restore(conversation, 2);
    const ana = await run(person(server, home, "ana", "--json"), home.env);
    assert.equal(ana.code, 0, ana.stderr);
    const kept = /^parley: ⚠ .+ lost 2 messages of bob; they are kept in (.+\.jsonl)\.\n$/.exec(
      ana.stderr,
    );
    assert.ok(kept?.[1], ana.stderr);
    const lines = (await readFile(kept[1], "utf8")).trim().split("\n");
    const texts = lines
      .map((line) => JSON.parse(line))
      .map(({ seq, user, text }) => [seq, user, text]);
    assert.deepEqual(texts, [
      [3, "ana", "two"],
      [4, "ana", "six"],
    ]);
    assert.equal((await stat(kept[1])).mode & 0o777, 0o600);
    const events = ana.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const told = events.find(({ event }) => event === "conversationReplaced");
    assert.deepEqual([told.conversationId, told.keptSeq], [conversation.id, 2]);
    assert.deepEqual(
      told.messages.map((message: { text: string }) => message.text),
      ["two", "six"],
    );
  });

  it("runs commands when told to", async () => {
    await using server = await startTestServer();
    await using home = await createHome();
    await run(person(server, home, "bob", "--sign-up"), home.env);
    const input = [
      "first",
      "/reply 2 second",
      "/react 2 +1",
      "/edit 2 better",
      "/history",
      "/nothing",
    ];
    const args = person(server, home, "ana", "--sign-up", "--with", "bob", "--commands");
    const { code, stdout, stderr } = await run(args, home.env, input.join("\n"));
    assert.match(stdout, /#2 \d\d:\d\d ana: better \(edited\) {2}\[\+1 1\]/);
    assert.match(stdout, /#3 \d\d:\d\d ana: \(to #2\) second/);
    assert.equal(code, 2);
    assert.match(stderr, /There is no \/nothing\./);
  });

  for (const transport of ["websocket", "connect", "long-poll", "short-poll"]) {
    it(`chats over ${transport}`, async () => {
      await using server = await startTestServer();
      await using home = await createHome();
      await run(person(server, home, "bob", "--sign-up"), home.env);
      const args = person(
        server,
        home,
        "ana",
        "--sign-up",
        "--with",
        "bob",
        "--json",
        "--transport",
        transport,
      );
      const { code, stdout } = await run(args, home.env, "hello\n");
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`"state":"online","road":"${transport}"`));
    });
  }
});
