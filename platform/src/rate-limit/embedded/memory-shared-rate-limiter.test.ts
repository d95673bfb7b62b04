import { createManualClock } from "../../clock.ts";
import { runSharedRateLimiterContract } from "../port.contract.ts";
import { createMemoryRateLimits } from "./memory-shared-rate-limiter.ts";

runSharedRateLimiterContract("memory", async () => {
  const clock = createManualClock();
  const limits = createMemoryRateLimits({ clock });
  return {
    open: async (limit) => limits.open(limit),
    pass: (ms) => clock.advance(ms),
    async [Symbol.asyncDispose]() {},
  };
});
