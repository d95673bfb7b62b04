/** The image that every process runs in, by reading deploy/Dockerfile. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readText, repositoryRoot } from "../tidy/sources.ts";

export type Image = {
  readonly text: string;
  /** Of each `FROM`. */
  readonly bases: readonly string[];
  /** Paths from the repository's root, of `COPY`s that do not come from another stage. */
  readonly copied: readonly string[];
  /** What `ENV` sets. */
  readonly environment: Readonly<Record<string, string>>;
};

export function readImage(text: string): Image {
  const lines = text.replace(/\\\n/g, " ").split("\n");
  const argumentsOf = (word: string) =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  return {
    text,
    bases: argumentsOf("FROM").map((line) => line.split(" ")[0] ?? ""),
    copied: argumentsOf("COPY")
      .filter((line) => !line.startsWith("--from"))
      .flatMap((line) => line.trim().split(/\s+/).slice(0, -1)),
    environment: Object.fromEntries(
      argumentsOf("ENV").flatMap((line) =>
        [...line.matchAll(/(\w+)=("[^"]*"|\S+)/g)].map(([, name = "", value = ""]) => [
          name,
          value.replace(/^"|"$/g, ""),
        ]),
      ),
    ),
  };
}

type Package = {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
};

const readPackage = (path: string) => JSON.parse(readText(path)) as Package;

/** What the image would lack, or have wrong. */
export function checkImage(image: Image): string[] {
  const { text, bases, copied } = image;
  const nodeVersion = readPackage("package.json").dependencies?.node;
  const problems = bases
    .filter((base) => base !== `node:${nodeVersion}-bookworm-slim`)
    .map((base) => `the base ${base} is not package.json's Node ${nodeVersion}`);
  for (const path of copied) {
    if (!existsSync(join(repositoryRoot, path))) problems.push(`there is no ${path} to copy`);
  }
  for (const home of packagesOf("clients/cli")) {
    const covered = copied.some((path) => home === path || home.startsWith(`${path}/`));
    if (!covered) problems.push(`parley needs ${home}, which is not copied`);
  }
  const linked = /ln -s \/parley\/(\S+) \/usr\/local\/bin\/parley\b/.exec(text)?.[1];
  if (linked === undefined || !existsSync(join(repositoryRoot, linked))) {
    problems.push("`parley` leads nowhere");
  }
  const tail = text.slice(text.lastIndexOf("\nFROM "));
  if (!/^USER node$/m.test(tail)) problems.push("it does not run as the user node");
  if (!/^ENTRYPOINT \["parley"\]$/m.test(tail)) problems.push("its entrypoint is not parley");
  if (!/install -d -o node [^\n]*\/data/.test(tail)) problems.push("node cannot write to /data");
  if (!/npm ci [^\n]*--omit=dev/.test(text)) problems.push("it has development dependencies");
  return problems;
}

/** The folders of our packages that one of them needs, itself included. */
function packagesOf(home: string): Set<string> {
  const folders = ["gen", "platform", "gateway"].concat(
    ...["presence", "fanout", "message", "directory", "standalone"].map((n) => `services/${n}`),
    ...["sdk", "cli"].map((name) => `clients/${name}`),
  );
  const homes = new Map(
    folders.map((folder) => [readPackage(`${folder}/package.json`).name, folder]),
  );
  const found = new Set<string>();
  const visit = (folder: string) => {
    if (found.has(folder)) return;
    found.add(folder);
    const names = Object.keys(readPackage(`${folder}/package.json`).dependencies ?? {});
    for (const name of names.filter((own) => own.startsWith("@parley/"))) {
      visit(homes.get(name) ?? name);
    }
  };
  visit(home);
  return found;
}
