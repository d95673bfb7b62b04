import type { Transport } from "@connectrpc/connect";
import { type Caller, callerKey } from "../caller.ts";
import { forkContextValues } from "../context-values.ts";

/** The transport with a caller in the context of every call that carries none. */
export function callingAs(transport: Transport, caller: Caller): Transport {
  const values = forkContextValues().set(callerKey, caller);
  return {
    unary: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.unary(method, signal, timeoutMs, header, input, contextValues ?? values),
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.stream(method, signal, timeoutMs, header, input, contextValues ?? values),
  };
}
