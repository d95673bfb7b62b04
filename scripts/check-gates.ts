/**
 * `npm run check:gates`: each gate can fail. Plants one fault after the other in a copy of the tree and expects the
 * gate that should see it to go red, and to be green again without it.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

type Fault = {
  readonly name: string;
  readonly gate: readonly string[];
  /** What the gate says when it sees this fault, and not another one. */
  readonly says: RegExp;
  plant(root: string): void;
};

const messageProto = "proto/parley/message/v1/message.proto";

function append(root: string, path: string, text: string): void {
  appendFileSync(join(root, path), text);
}

function replace(root: string, path: string, from: string, to: string): void {
  const text = readFileSync(join(root, path), "utf8");
  if (!text.includes(from))
    throw new Error(`${path} does not contain what the fault replaces: ${from}`);
  writeFileSync(join(root, path), text.replace(from, to));
}

const faults: readonly Fault[] = [
  {
    name: "tsc sees a wrong type",
    gate: ["check:types"],
    says: /TS2322/,
    plant: (root) =>
      append(root, "platform/src/ids.ts", '\nexport const planted: number = "text";\n'),
  },
  {
    name: "Biome sees a lint error",
    gate: ["check:lint"],
    says: /noExplicitAny/,
    plant: (root) => append(root, "platform/src/ids.ts", "\nexport const planted: any = 1;\n"),
  },
  {
    name: "Biome sees bad formatting",
    gate: ["check:lint"],
    says: /format/,
    plant: (root) => append(root, "platform/src/ids.ts", "\nexport   const planted = 1\n"),
  },
  {
    name: "buf lint sees an element without a comment",
    gate: ["check:contract"],
    says: /contract lint: FAILED/,
    plant: (root) => append(root, messageProto, "\nmessage Planted {}\n"),
  },
  {
    name: "buf breaking sees a changed type",
    gate: ["check:contract"],
    says: /contract breaking: FAILED/,
    plant: (root) =>
      replace(root, messageProto, "uint64 unread_count = 6;", "uint32 unread_count = 6;"),
  },
  {
    name: "regenerate-and-diff sees an edited file",
    gate: ["check:contract"],
    says: /contract generated: FAILED/,
    plant: (root) =>
      append(root, "gen/ts/parley/message/v1/message_pb.ts", "\n// edited by hand\n"),
  },
  {
    name: "tidy sees a service that imports another service",
    gate: ["test", "--", "test/tidy.test.ts"],
    says: /services\/presence\/src\/config\.ts imports services\/message/,
    plant: (root) =>
      append(
        root,
        "services/presence/src/config.ts",
        '\nexport * from "@parley/message/config";\n',
      ),
  },
  {
    name: "the test runner sees a failing test",
    gate: ["test", "--", "platform/src/planted.test.ts"],
    says: /0 passed, 1 failed/,
    plant: (root) =>
      writeFileSync(
        join(root, "platform/src/planted.test.ts"),
        'import { it } from "node:test";\nit("fails", () => {\n  throw new Error("planted");\n});\n',
      ),
  },
];

function copyTree(): string {
  const root = mkdtempSync(join(tmpdir(), "parley-gates-"));
  const files = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
  spawnSync("tar", ["-cf", join(root, "tree.tar"), "--null", "-T", "-"], { input: files.stdout });
  spawnSync("tar", ["-xf", "tree.tar"], { cwd: root });
  rmSync(join(root, "tree.tar"));
  spawnSync("git", ["init", "-q"], { cwd: root });
  return root;
}

/** Copies the installed packages; links of the workspace's own packages are relative and lead into the copy. */
function copyPackages(root: string): void {
  const [from, to] = [resolve("node_modules"), join(root, "node_modules")];
  const linked = spawnSync("cp", ["-al", from, to]); // hard links, unless the copy is on another file system
  if (linked.status !== 0) spawnSync("cp", ["-a", from, to]);
}

function runGate(root: string, gate: readonly string[]): { status: number; output: string } {
  const result = spawnSync("npm", ["run", "--silent", ...gate], { cwd: root, encoding: "utf8" });
  return { status: result.status ?? 1, output: result.stdout + result.stderr };
}

for (const fault of faults) {
  const root = copyTree();
  try {
    copyPackages(root);
    fault.plant(root);
    const { status, output } = runGate(root, fault.gate);
    const red = status !== 0 && fault.says.test(output);
    process.stdout.write(`${red ? "ok    " : "FAILED"} ${fault.name}\n`);
    if (!red) {
      process.stdout.write(output.slice(-2_000));
      process.exitCode = 1;
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
