import { Command } from "ioredis";

/** The slot of a cluster that keys and channels with this hash tag are in. */
export function slotOf(tag: string): number {
  return new Command("exists", [`{${tag}}`]).getSlot() ?? 0;
}
