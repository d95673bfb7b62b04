/** `parley serve`: the standalone server in this process. */
import type { CliWorld } from "../world.ts";

/**
 * Returns when nothing could be started; a server that ran ends the process by itself. The server is loaded
 * only here: a chat needs none of its modules.
 */
export async function serve(world: CliWorld): Promise<number> {
  const { runStandalone } = await import("@parley/standalone/run");
  return (await runStandalone({ ...world, host: world.process })) ?? 0;
}
