import type { SharedRateLimit } from "./port.ts";

/** Throws RangeError for a limit that cannot be meant. */
export function checkLimit({ name, ratePerSecond, burst }: SharedRateLimit): void {
  const positive = ratePerSecond > 0 && burst > 0;
  const finite = Number.isFinite(ratePerSecond) && Number.isFinite(burst);
  if (!positive || !finite) throw new RangeError("ratePerSecond and burst must be positive");
  if (!/^[A-Za-z0-9-]{1,64}$/.test(name)) {
    throw new RangeError("name must be 1 to 64 letters, digits and dashes");
  }
}
