import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startTestServer } from "../src/testing/test-server.ts";
import { buildPackage } from "./package.ts";

const run = promisify(execFile);
const modules = resolve(fileURLToPath(new URL("../../../node_modules", import.meta.url)));

/** A program of somebody who uses the published package; written for plain Node, without types. */
const program = `
  import { createParleyClient, Code, ParleyError } from "@parley/sdk";
  import { openFileStorage } from "@parley/sdk/node/file-storage";
  import { MessageSchema } from "@parley/sdk/gen/parley/message/v1/message_pb";

  const storage = await openFileStorage({ directory: "./state", process });
  const client = createParleyClient({ url: process.argv[2], storage });
  const user = await client.signUp({ username: "ana", password: "correct horse" });
  await client.connect();
  const group = await client.createGroup("Team", []);
  const { seq } = await group.send("hello").result;
  const refused = await client.conversation(crypto.randomUUID()).members().catch((error) => error);
  process.stdout.write(JSON.stringify({
    username: user.username,
    seq: Number(seq),
    refused: refused instanceof ParleyError && refused.code === Code.NotFound,
    generated: MessageSchema.typeName,
  }));
  await client.close();
`;

/** The example of the README. */
async function readmeExample(): Promise<string> {
  const readme = await readFile(fileURLToPath(new URL("../README.md", import.meta.url)), "utf8");
  return /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? assert.fail("the README has an example");
}

/** The same package seen by a compiler. */
const typedProgram = `
  import { createParleyClient, type ParleyClient, type SendHandle } from "@parley/sdk";
  const client: ParleyClient = createParleyClient({ url: "http://localhost:8080" });
  const handle: SendHandle = client.conversation("id").send({ text: "hello", mentions: ["user"] });
  client.on("message", (entry) => entry.seq satisfies bigint);
  // @ts-expect-error a text is needed
  client.conversation("id").send({ replyTo: undefined });
  export { handle };
`;

it("the packed package installs, runs on plain Node, and is typed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-package-"));
  try {
    const built = join(directory, "built");
    await buildPackage(built);
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", directory], {
      cwd: built,
    });
    const [{ filename, files }] = JSON.parse(stdout);
    const names: string[] = files.map((file: { path: string }) => file.path);
    assert.deepEqual(
      names.filter((name) => /test|contract|[^d]\.ts$/.test(name)),
      [],
    );
    assert.ok(names.includes("README.md") && names.includes("LICENSE"));

    // Browsers load everything but sdk/node/.
    for (const name of names.filter((path) => /^sdk\/(?!node\/).*\.js$/.test(path))) {
      const text = await readFile(join(built, name), "utf8");
      const foreign = [...text.matchAll(/from "([^"]+)"|import\("([^"]+)"\)/g)]
        .map((match) => match[1] ?? match[2] ?? "")
        .filter(
          (specifier) => !/^(\.|@bufbuild\/protobuf|@connectrpc\/connect(-web)?$)/.test(specifier),
        );
      assert.deepEqual(foreign, [], name);
      assert.doesNotMatch(text, /\bprocess\.[a-z]|\bBuffer\.from|\brequire\(/, name);
    }

    // Its dependencies come from this repository, so that no registry is asked.
    const manifest = JSON.parse(await readFile(join(built, "package.json"), "utf8"));
    const dependencies = Object.fromEntries(
      Object.keys(manifest.dependencies).map((name) => [name, `file:${join(modules, name)}`]),
    );
    const own = { "@parley/sdk": `file:${join(directory, filename)}`, ...dependencies };
    const overrides = Object.fromEntries(
      Object.keys(dependencies).map((name) => [name, `$${name}`]),
    );
    await writeFile(
      join(directory, "package.json"),
      JSON.stringify({ type: "module", dependencies: own, overrides }),
    );
    const flags = ["--offline", "--no-audit", "--no-fund", "--no-package-lock"];
    await run("npm", ["install", ...flags], { cwd: directory });

    await using server = await startTestServer();
    await writeFile(join(directory, "program.js"), program);
    const args = ["--no-experimental-strip-types", "program.js", server.url];
    const finished = await run(process.execPath, args, { cwd: directory });
    assert.deepEqual(JSON.parse(finished.stdout), {
      username: "ana",
      seq: 2,
      refused: true,
      generated: "parley.message.v1.Message",
    });

    await writeFile(join(directory, "example.js"), await readmeExample());
    const env = { PATH: process.env.PATH, PARLEY_URL: server.url };
    const example = await run(process.execPath, ["example.js"], { cwd: directory, env });
    assert.equal(example.stdout, "stored as entry 2\nBob has entry 2\n");

    await writeFile(join(directory, "typed.ts"), typedProgram);
    const options = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2022",
      "--lib",
      "es2022,dom",
    ];
    await run(join(modules, ".bin/tsc"), [...options, "typed.ts"], { cwd: directory }).catch(
      (error) => assert.fail(error.stdout),
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
