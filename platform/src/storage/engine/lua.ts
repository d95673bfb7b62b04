/** Lua scripts in files of their own. */
import { readFileSync } from "node:fs";

/**
 * Reads scripts of a folder, once, at the start: `name.lua` each, with the texts of `before` in front.
 * Throws what reading throws; a missing file is a broken installation.
 */
export function readScripts<const Name extends string>(
  directory: URL,
  files: Readonly<Record<Name, readonly string[]>>,
): Readonly<Record<Name, string>> {
  const texts = Object.entries<readonly string[]>(files).map(([name, parts]) => [
    name,
    parts.map((part) => readFileSync(new URL(`${part}.lua`, directory), "utf8")).join("\n"),
  ]);
  return Object.fromEntries(texts);
}
