/** As whom the gateway calls other services. */
import { type ContextValues, createContextValues, type Transport } from "@connectrpc/connect";
import { type Caller, callerKey } from "@parley/platform/rpc/caller";

/** Context values of a call on behalf of somebody. */
export function valuesOf(caller: Caller): ContextValues {
  return createContextValues().set(callerKey, caller);
}

/** The transport with the gateway itself as the caller of calls that name no other. */
export function asGateway(transport: Transport): Transport {
  const own = valuesOf({ kind: "internal", service: "gateway" });
  return {
    unary: (method, signal, timeoutMs, header, input, values) =>
      transport.unary(method, signal, timeoutMs, header, input, values ?? own),
    stream: (method, signal, timeoutMs, header, input, values) =>
      transport.stream(method, signal, timeoutMs, header, input, values ?? own),
  };
}
