/** Which way imports may point, and where drivers, `process` and `console` may appear (STYLE, "Inside a service"). */
import { areaOf, resolveImport, type SourceFile } from "./sources.ts";

const driverPattern =
  /^(lmdb|node:sqlite|kafkajs|cassandra-driver|mysql2|ioredis|@aws-sdk\/.*|better-sqlite3)(\/.*)?$/;

/** What an area may import besides itself. `gen` is open to everybody. */
function allowedAreas(area: string): (target: string) => boolean {
  if (area === "platform") return () => false;
  if (area === "gateway") return (target) => target === "platform";
  if (area === "services/standalone") {
    return (target) =>
      target === "platform" || target === "gateway" || target.startsWith("services/");
  }
  if (area.startsWith("services/")) return (target) => target === "platform";
  // `parley serve` is the standalone server: the CLI is the one client that also starts it.
  if (area === "clients/cli") {
    return (target) =>
      target.startsWith("clients/") || target === "services/standalone" || target === "platform";
  }
  if (area.startsWith("clients/")) return (target) => target.startsWith("clients/");
  return () => true;
}

export function checkAreas(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    const area = areaOf(file.path);
    const allowed = allowedAreas(area);
    for (const specifier of file.imports) {
      const target = resolveImport(file.path, specifier);
      if (target === undefined) continue;
      const targetArea = areaOf(target);
      if (targetArea === "gen" || targetArea === area || allowed(targetArea)) continue;
      problems.push(`${file.path} imports ${targetArea} (${specifier})`);
    }
  }
  return problems;
}

const layerRules: Record<string, RegExp> = {
  domain: /^domain\//,
  api: /^(api|domain)\/|^ports(\.|$)|ports\.ts$|^[a-z-]*ports\.ts$/,
  embedded: /^(embedded|domain)\/|ports\.ts$/,
  engine: /^(engine|embedded|domain)\/|ports\.ts$/,
};

/** Inside a service: api → domain, ports; domain → domain; embedded and engine → ports, domain. */
export function checkLayers(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    const place = /^services\/([^/]+)\/src\/([^/]+)\//.exec(file.path);
    if (!place || file.test || place[1] === "standalone") continue;
    const rule = layerRules[place[2] ?? ""];
    if (!rule) continue;
    const source = `services/${place[1]}/src/`;
    for (const specifier of file.imports) {
      const target = resolveImport(file.path, specifier);
      if (!target?.startsWith(source)) continue;
      const inside = target.slice(source.length);
      if (!rule.test(inside)) problems.push(`${file.path} imports ${inside}`);
    }
  }
  return problems;
}

/** Domain code decides; it does no I/O, reads no clock and knows no RPC library. */
export function checkDomainIsPure(files: readonly SourceFile[]): string[] {
  const impure =
    /\b(Date\.now|performance\.now|Math\.random|setTimeout|setInterval|ConnectError)\b/;
  const problems: string[] = [];
  for (const file of files) {
    if (file.test || !/^services\/[^/]+\/src\/domain\//.test(file.path)) continue;
    for (const specifier of file.imports) {
      if (/^node:(?!assert|crypto)/.test(specifier) || specifier.startsWith("@connectrpc/")) {
        problems.push(`${file.path} imports ${specifier}`);
      }
    }
    const found = impure.exec(withoutComments(file.text));
    if (found) problems.push(`${file.path} uses ${found[0]}`);
  }
  return problems;
}

export function checkDrivers(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => !file.test && !/\/(engine|embedded)\//.test(file.path))
    .flatMap((file) =>
      file.imports
        .filter((specifier) => driverPattern.test(specifier))
        .map((specifier) => `${file.path} imports the driver ${specifier}`),
    );
}

/** The process is touched where it is started and nowhere else. */
export function checkProcess(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => !file.test && !/\/(main|config)\.ts$/.test(file.path))
    .filter((file) => !file.path.startsWith("scripts/") && !file.path.startsWith("clients/cli/"))
    .filter(
      (file) =>
        /\bprocess\.(?!hrtime)/.test(withoutComments(file.text)) ||
        file.imports.includes("node:process"),
    )
    .map((file) => `${file.path} uses process`);
}

export function checkConsole(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => !file.path.startsWith("clients/cli/") && !file.path.startsWith("scripts/"))
    .filter((file) => !file.path.startsWith("test/bench/"))
    .filter((file) => /\bconsole\./.test(withoutComments(file.text)))
    .map((file) => `${file.path} uses console`);
}

/** Source text without comments and string contents, so that words in prose are no findings. */
export function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|[^:"'`])\/\/.*$/gm, "$1")
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/'(?:[^'\\\n]|\\.)*'/g, "''");
}
