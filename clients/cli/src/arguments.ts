/** Parsing of options, with errors for people. */
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { usageFailure } from "./failure.ts";

/** @throws CliFailure naming the option that is wrong. */
export function parseOptions<T extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: T,
) {
  try {
    const parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
    const [unexpected] = parsed.positionals;
    if (unexpected !== undefined) {
      throw new TypeError(`"${unexpected}" is not expected here.`);
    }
    return parsed.values;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // The first sentence names the option; what follows is advice for programmers.
    throw usageFailure(text.split(". ")[0]?.replace(/\.?$/, ".") ?? text, command);
  }
}

/** A whole number of an option. @throws CliFailure naming the option. */
export function wholeNumber(
  command: string,
  option: string,
  value: string | undefined,
  max: number,
): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isInteger(number) || number < 0 || number > max) {
    throw usageFailure(
      `--${option} takes a whole number from 0 to ${max}, not "${value}".`,
      command,
    );
  }
  return number;
}
