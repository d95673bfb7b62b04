/** A transport whose other end is created later: how services that call each other in a circle are wired. */
import type { Transport } from "@connectrpc/connect";

export type LateTransport = Transport & {
  /** Gives the transport its other end. Once. */
  bind(transport: Transport): void;
};

/** Creates it. Calls made before `bind` reject: services make their first call in `start`, after all are wired. */
export function createLateTransport(service: string): LateTransport {
  let bound: Transport | undefined;
  const transport = (): Transport => {
    if (bound === undefined) throw new Error(`${service} was called before it was wired`);
    return bound;
  };
  return {
    bind(other) {
      if (bound !== undefined) throw new Error(`${service} was wired twice`);
      bound = other;
    },
    unary: async (...call) => await transport().unary(...call),
    stream: async (...call) => await transport().stream(...call),
  };
}
