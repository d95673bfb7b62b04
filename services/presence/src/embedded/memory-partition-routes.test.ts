import { createManualClock } from "@parley/platform/clock";
import { runPartitionRoutesContract } from "../route-ports.contract.ts";
import type { PartitionRoutes } from "../route-ports.ts";
import { createMemoryPartitionRoutes } from "./memory-partition-routes.ts";

runPartitionRoutesContract("memory", async () => {
  const clock = createManualClock();
  let current = createMemoryPartitionRoutes({ clock });
  // A process that starts again begins with an empty memory.
  const routes: PartitionRoutes = {
    take: (applier, partitions) => current.take(applier, partitions),
    renew: (applier, takings) => current.renew(applier, takings),
    release: (takings) => current.release(takings),
    list: () => current.list(),
    [Symbol.asyncDispose]: () => current[Symbol.asyncDispose](),
  };
  return {
    routes,
    others: routes,
    pass: async (ms) => clock.advance(ms),
    empty: async () => {
      current = createMemoryPartitionRoutes({ clock });
    },
    [Symbol.asyncDispose]: () => routes[Symbol.asyncDispose](),
  };
});
