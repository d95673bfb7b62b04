/** Every port has an embedded and an engine adapter, and each runs the port's one contract suite. */
import { resolveImport, type SourceFile } from "./sources.ts";

/** Suites that are no ports: they have other implementations than embedded and engine, named here. */
const otherSuites: Record<string, string> = {
  "platform/src/rpc/hosts.contract.ts": "run by the three RPC hosts",
  "clients/sdk/src/storage/client-storage.contract.ts":
    "run by the storages of browser, Node and memory",
};

export function checkPorts(files: readonly SourceFile[]): string[] {
  const suites = files.filter((file) => /\.contract\.ts$/.test(file.path));
  return suites.flatMap((suite) => {
    if (otherSuites[suite.path] !== undefined) return [];
    const users = files.filter((file) =>
      file.imports.some((specifier) => resolveImport(file.path, specifier) === suite.path),
    );
    const problems: string[] = [];
    if (!users.some((file) => file.path.includes("/embedded/"))) {
      problems.push(`${suite.path} is run by no embedded adapter`);
    }
    const hasEngine = users.some((file) => file.path.includes("/engine/"));
    if (!hasEngine) problems.push(`${suite.path} is run by no engine adapter`);
    return problems;
  });
}
