import { runHostSuite } from "./hosts.contract.ts";
import { createInProcessTransport } from "./in-process-host.ts";

runHostSuite({
  name: "in-process",
  internalCallers: true,
  limitsSize: false,
  start: ({ routes, interceptors }) =>
    Promise.resolve({
      transport: (asCaller) => createInProcessTransport({ routes, interceptors, asCaller }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
});
