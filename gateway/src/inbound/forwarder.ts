/** Forwards public RPCs to the service that owns them; no RPC has code of its own here. */
import type { DescMethod, DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl, Transport } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { internal } from "@parley/platform/errors";
import { callerKey } from "@parley/platform/rpc/caller";
import { defineRoute, type Route } from "@parley/platform/rpc/route";
import type { EdgeContent } from "./edge-content.ts";
import { isJson } from "./road.ts";

export type ForwardDependencies = {
  readonly content: Pick<EdgeContent, "encode" | "decode">;
  /** Called after a call that may have signed a device out. */
  readonly onAccountChanged: () => void;
};

/**
 * A route whose every RPC is called at `transport` with the caller, deadline and cancellation of the call at
 * the edge; refusals come back with all their details.
 */
export function forward<S extends DescService>(
  service: S,
  transport: Transport,
  dependencies: ForwardDependencies,
): Route {
  const implementation: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (!isUnary(method)) {
      throw new Error(`${service.typeName}/${method.name} is a stream, which is not forwarded`);
    }
    implementation[method.localName] = (request: Message, context: HandlerContext) =>
      forwardUnary(method, transport, request, context, dependencies);
  }
  return defineRoute(service, implementation as ServiceImpl<S>);
}

async function forwardUnary(
  method: DescMethodUnary,
  transport: Transport,
  request: Message,
  context: HandlerContext,
  { content, onAccountChanged }: ForwardDependencies,
): Promise<Message> {
  const caller = context.values.get(callerKey);
  // A gateway passes callers on and never lends them its own rights.
  if (caller.kind === "internal") throw internal(new Error("an internal caller at the edge"));
  const isDevice = caller.kind === "device";
  const encoded = isDevice ? await content.encode(method, request, caller) : request;
  const response = await transport.unary(
    method,
    context.signal,
    context.timeoutMs(),
    undefined,
    encoded,
    context.values,
  );
  if (mayChangeDevices(method)) onAccountChanged();
  return isDevice && isJson(context)
    ? content.decode(method, response.message, caller)
    : response.message;
}

function mayChangeDevices(method: DescMethodUnary): boolean {
  const { parent, idempotency } = method;
  return parent.typeName === AccountService.typeName && idempotency !== Idempotency.NO_SIDE_EFFECTS;
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}
