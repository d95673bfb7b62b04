/** `parley migrate`: the engines' tables and topics. */
import type { CliWorld } from "../world.ts";

/** Returns the exit code. The server's modules are loaded only here. */
export async function migrate(world: CliWorld): Promise<number> {
  const { migrate: run } = await import("@parley/standalone/migrate");
  return await run(world);
}
