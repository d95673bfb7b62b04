/** What operators and clients meet by name is written down: metrics, and the reasons of refusals. */
import { listFiles, readText, type SourceFile } from "./sources.ts";

const OPERATING = "docs/operating.md";

/** Node's own figures have prom-client's names; the page names them by their prefix. */
const ofProcess = /^parley_(process|nodejs)_/;

const product = (files: readonly SourceFile[]) =>
  files.filter(({ path, test }) => !test && /^(platform|gateway|services)\//.test(path));

/** Names of metrics that the code registers: a metric's name is always written out where it is made. */
export function listMetrics(files: readonly SourceFile[]): string[] {
  const names = product(files).flatMap(({ text }) =>
    [...text.matchAll(/"(parley_[a-z0-9_]+)"/g)].map((match) => match[1] ?? ""),
  );
  return [...new Set(names)].sort();
}

/** Every metric is in the table of the operators' page, and every metric that the page names exists. */
export function checkMetrics(files: readonly SourceFile[], page = readText(OPERATING)): string[] {
  const registered = new Set(listMetrics(files));
  const table = page.split("\n").filter((line) => line.startsWith("| `parley_"));
  const described = new Set(table.flatMap((line) => metricsIn(line.split(" | ")[0] ?? "")));
  return [
    ...[...registered]
      .filter((name) => !described.has(name))
      .map((name) => `${name} has no line in the table of ${OPERATING}`),
    ...[...new Set(metricsIn(page))]
      .filter((name) => !ofProcess.test(name))
      .filter((name) => !registered.has(name))
      .filter((name) => !registered.has(name.replace(/_(bucket|sum|count)$/, "")))
      .map((name) => `${OPERATING} names ${name}, which nothing registers`),
  ];
}

function metricsIn(text: string): string[] {
  return [...text.matchAll(/\bparley_[a-z0-9_]*[a-z0-9]\b/g)].map((match) => match[0]);
}

/** The functions of platform/src/errors.ts that make a refusal. */
const refusal =
  /\b(?:invalidArgument|invalidFields|unauthenticated|permissionDenied|notFound|alreadyExists|failedPrecondition|resourceExhausted|aborted|unavailable)\(/g;
/** What else is written in capitals: variables, error codes of Node and the system. */
const noReason = /^(PARLEY_|ERR_|EAI_)/;

/**
 * Reasons that clients may get, each with a file that uses it: every text in capitals that is given to an
 * error helper, and every one of several words elsewhere (a decision of the domain, made an error later).
 */
export function listReasons(files: readonly SourceFile[]): Map<string, string> {
  const reasons = new Map<string, string>();
  for (const { path, text } of product(files)) {
    if (path.endsWith("/config.ts")) continue;
    const given = [...text.matchAll(refusal)].flatMap((match) =>
      capitals(argumentsAt(text, match.index + match[0].length - 1)),
    );
    const decided = capitals(text).filter((name) => name.includes("_"));
    for (const name of [...given, ...decided]) {
      if (!noReason.test(name)) reasons.set(name, path);
    }
  }
  return reasons;
}

function capitals(text: string): string[] {
  return [...text.matchAll(/"([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)"/g)].map((match) => match[1] ?? "");
}

/** The text between a parenthesis and the one that closes it. */
function argumentsAt(text: string, open: number): string {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "(") depth += 1;
    if (text[at] === ")") depth -= 1;
    if (depth === 0) return text.slice(open, at);
  }
  return text.slice(open);
}

/** Every reason is explained where whoever meets it looks: the contract, a README, the operators' page. */
export function checkReasons(files: readonly SourceFile[], pages = readPages()): string[] {
  const named = new Set(pages.match(/\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*\b/g));
  return [...listReasons(files)]
    .filter(([reason]) => !named.has(reason))
    .map(([reason, path]) => `${path} refuses with ${reason}, which nothing explains`)
    .sort();
}

function readPages(): string {
  const contract = listFiles("proto/parley").filter((path) => path.endsWith(".proto"));
  const readmes = ["platform", "gateway", "services"]
    .flatMap(listFiles)
    .filter((path) => path.endsWith("README.md"));
  return [...contract, ...readmes, OPERATING].map(readText).join("\n");
}
