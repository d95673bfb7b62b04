// What README tells a stranger to type works as written, against a whole server.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { nextText, openPerson } from "../harness/clients.ts";
import { password } from "../harness/people.ts";
import { startTestServer, type TestServer } from "../harness/server.ts";
import { readText, repositoryRoot } from "../tidy/sources.ts";

const readme = readText("README.md");
const example = "docs/examples/websocket-client.mjs";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

/** The commands of README's shell blocks that begin with a word, with the address of this test's server. */
function commands(word: string): string[] {
  const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
  const lines = blocks.flatMap((block) => block.replaceAll("\\\n", " ").split("\n"));
  return lines
    .filter((line) => line.startsWith(word))
    .map((line) => line.replaceAll("http://localhost:8080", server.url));
}

async function shell(command: string): Promise<string> {
  return (await promisify(execFile)("sh", ["-c", command], { cwd: repositoryRoot })).stdout;
}

describe("README", () => {
  it("curl with JSON", async () => {
    const [command] = commands("curl");
    const answer = JSON.parse(await shell(command ?? "false")) as {
      tokens?: { accessToken: string };
    };
    assert.ok(answer.tokens?.accessToken);
  });

  it("buf curl over gRPC, with reflection", async () => {
    const [info, list] = commands("npx buf curl");
    assert.match(await shell(info ?? "false"), /"version"/);
    assert.match(await shell(list ?? "false"), /parley\.message\.v1\.MessageService\/SendMessage/);
  });

  it("shows the WebSocket client as it is in docs/examples, in 30 lines", () => {
    const text = readText(example);
    assert.ok(readme.includes(`\`\`\`js\n${text}\`\`\``));
    assert.ok(text.trimEnd().split("\n").length <= 30);
  });

  it("the WebSocket client chats", { timeout: 30_000 }, async () => {
    await using ana = await openPerson(server, "readme_ana");
    await using _ben = await openPerson(server, "readme_ben", { offline: true });
    const child = spawn(process.execPath, [example, "readme_ben", password, "readme_ana"], {
      cwd: repositoryRoot,
      env: { ...process.env, PARLEY_URL: server.url },
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      child.stdin.write("from thirty lines\n");
      const entry = await nextText(ana, "from thirty lines");
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
      await ana.conversation(entry.conversationId).send("an answer").result;
      while (!output.includes("< an answer")) await once(child.stdout, "data");
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });
});
