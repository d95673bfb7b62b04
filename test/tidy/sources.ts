/** What the tidy checks look at: the tree's source files, their imports and their package. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const repositoryRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

const skippedDirectories = new Set([
  "node_modules",
  ".git",
  "data",
  "dist",
  ".engines",
  "coverage",
]);

export type SourceFile = {
  /** Path from the repository's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** Every import specifier as written. */
  readonly imports: readonly string[];
  readonly test: boolean;
};

/** All files under a directory of the repository, as paths from its root. */
export function listFiles(directory: string): string[] {
  const found: string[] = [];
  const visit = (absolute: string) => {
    for (const entry of readdirSync(absolute, { withFileTypes: true })) {
      if (skippedDirectories.has(entry.name)) continue;
      const path = join(absolute, entry.name);
      if (entry.isDirectory()) visit(path);
      else found.push(relative(repositoryRoot, path).split(sep).join("/"));
    }
  };
  visit(join(repositoryRoot, directory));
  return found.sort();
}

export function readText(path: string): string {
  return readFileSync(join(repositoryRoot, path), "utf8");
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s+["']([^"']+)["']|import\s+["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;

/** The specifiers that a file imports, statically or dynamically. */
export function importsOf(text: string): string[] {
  return [...text.matchAll(importPattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

/** Hand-written TypeScript of the product and its tests; generated code is left out. */
export function readSources(): SourceFile[] {
  return ["platform", "gateway", "services", "clients", "test", "scripts"]
    .flatMap(listFiles)
    .filter((path) => /\.(ts|tsx|mts)$/.test(path) && !path.endsWith(".d.ts"))
    .map((path) => {
      const text = readText(path);
      return { path, text, imports: importsOf(text), test: isTestFile(path) };
    });
}

/** Tests, their helpers and child processes, and benchmarks: files that never ship. */
export function isTestFile(path: string): boolean {
  return (
    /\.(test|contract)\.ts$/.test(path) ||
    /\/(bench[^/]*|test-[^/]*|[^/]*-child|[^/]*\.contract[^/]*)\.ts$/.test(path) ||
    path.startsWith("test/") ||
    path.includes("/testing/")
  );
}

/** Where an import leads, from the repository's root, or undefined for a package of somebody else's. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) {
    return relative(repositoryRoot, resolve(repositoryRoot, dirname(from), specifier))
      .split(sep)
      .join("/");
  }
  const own = /^@parley\/([^/]+)\/?(.*)$/.exec(specifier);
  if (!own) return undefined;
  const [, name = "", rest = ""] = own;
  if (name === "gen") return `gen/ts/${rest}.ts`;
  const home = packageHome(name);
  return rest === "" ? `${home}/src/index.ts` : `${home}/src/${rest}.ts`;
}

function packageHome(name: string): string {
  if (name === "platform" || name === "gateway") return name;
  return ["sdk", "e2ee", "web", "cli"].includes(name) ? `clients/${name}` : `services/${name}`;
}

/** The part of the tree that a file belongs to: `platform`, `services/message`, `clients/sdk` … */
export function areaOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first === "services" || first === "clients" ? `${first}/${second}` : first;
}
