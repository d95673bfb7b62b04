/** The shape of the tree: sizes, one file per RPC, two adapters per port, nothing left lying about. */
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { listFiles, readText, repositoryRoot, resolveImport, type SourceFile } from "./sources.ts";

const FILE_LINES_MAX = 300; // longer files hide more than one idea (STYLE, habit 19)
const TEST_FILE_LINES_MAX = 500; // a table of cases reads better whole

export function checkFileLengths(files: readonly SourceFile[]): string[] {
  return files
    .map((file) => ({ file, lines: file.text.split("\n").length - 1 }))
    .filter(({ file, lines }) => lines > (file.test ? TEST_FILE_LINES_MAX : FILE_LINES_MAX))
    .map(({ file, lines }) => `${file.path} has ${lines} lines`);
}

export type Rpc = { readonly service: string; readonly method: string };

/** Every RPC of the contract, by reading proto/parley. */
export function listRpcs(): Rpc[] {
  return listFiles("proto/parley")
    .filter((path) => path.endsWith("_service.proto") && !path.includes("/testing/"))
    .flatMap((path) => {
      const text = readText(path);
      const service = /^service (\w+) \{/m.exec(text)?.[1] ?? "";
      return [...text.matchAll(/^ {2}rpc (\w+)\(/gm)].map((match) => ({
        service,
        method: match[1] ?? "",
      }));
    });
}

export function kebabCase(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();
}

/** Every RPC has a file named after it in some `api/` or `inbound/` folder, with its test beside it. */
export function checkRpcFiles(files: readonly SourceFile[]): string[] {
  const handlers = new Map<string, string>();
  for (const file of files) {
    const match = /\/(?:api|inbound)\/(?:.*\/)?([^/]+)\.ts$/.exec(file.path);
    if (match && !file.test) handlers.set(match[1] ?? "", file.path);
  }
  const paths = new Set(files.map((file) => file.path));
  return listRpcs().flatMap(({ service, method }) => {
    const handler = handlers.get(kebabCase(method));
    if (!handler) return [`${service}.${method} has no file api/${kebabCase(method)}.ts`];
    if (!paths.has(handler.replace(/\.ts$/, ".test.ts")))
      return [`${handler} has no test beside it`];
    return [];
  });
}

/** Files that nothing imports and nothing starts. */
export function checkUnimported(files: readonly SourceFile[]): string[] {
  const imported = new Set<string>();
  for (const file of files) {
    for (const specifier of file.imports) {
      const target = resolveImport(file.path, specifier);
      if (target) imported.add(target);
    }
  }
  const named = [...listFiles("scripts"), "package.json", ".ci/run"].map(readText).join("\n");
  const everything = files.map((file) => file.text).join("\n");
  return files
    .filter(
      (file) => !file.test && !file.path.startsWith("scripts/") && !file.path.endsWith("/main.ts"),
    )
    .filter((file) => !imported.has(file.path) && !named.includes(file.path))
    .filter((file) => !everything.includes(`./${file.path.split("/").at(-1)}`))
    .map((file) => `${file.path} is imported by nothing`);
}

export function checkServicesReadme(): string[] {
  const readme = readText("services/README.md");
  const names = new Set(listFiles("services").map((path) => path.split("/")[1] ?? ""));
  names.delete("README.md");
  return [...names]
    .filter((name) => !readme.includes(`](${name}/`) && !readme.includes(`](./${name}/`))
    .map((name) => `services/README.md does not name ${name}`);
}

/** Relative links of the Markdown files lead somewhere. */
export function checkMarkdownLinks(): string[] {
  const pages = listFiles(".").filter((path) => path.endsWith(".md"));
  return pages.flatMap((page) => {
    const text = readText(page).replace(/```[\s\S]*?```/g, "");
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => (match[1] ?? "").replace(/#.*$/, ""))
      .filter((link) => link !== "" && !/^[a-z]+:/.test(link))
      .filter((link) => !existsSync(join(repositoryRoot, normalize(join(dirname(page), link)))))
      .map((link) => `${page} links to ${link}`);
  });
}

/** Environment variables that the code reads. */
export function listVariables(files: readonly SourceFile[]): string[] {
  const names = files
    .filter((file) => !file.test && /\bconfig\.ts$/.test(file.path))
    .flatMap((file) =>
      [...file.text.matchAll(/\bPARLEY_[A-Z0-9_]*[A-Z0-9]\b/g)].map((match) => match[0]),
    );
  return [...new Set(names)].sort();
}
