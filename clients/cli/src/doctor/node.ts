/** Is Node new enough? */
import { type Finding, ok, problem } from "./finding.ts";

/** From this version on Node runs TypeScript directly and has argon2. */
const MINIMUM = [24, 7] as const;

export async function checkNode(version: string): Promise<readonly Finding[]> {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1]);
  if (enough) return [ok(`Node ${version}`)];
  return [
    problem(
      `Node ${version} is too old for the server.`,
      `Use \`npm start\`, which brings its own Node, or install Node ${MINIMUM.join(".")} or newer.`,
    ),
  ];
}
