/** Who calls. Decided once, where a call enters the process; everything behind only reads it. */
import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { unauthenticated } from "../errors.ts";

/** A signed-in device with a valid access token. */
export type DeviceCaller = {
  readonly kind: "device";
  readonly userId: string;
  readonly deviceId: string;
  /** When its access token expires, in ms since the Unix epoch. */
  readonly expireTimeMs: number;
};

export type Caller =
  /** Anybody, without a token. */
  | { readonly kind: "public" }
  | DeviceCaller
  /** Another part of Parley, in this process or with the service token. */
  | { readonly kind: "internal"; readonly service: string }
  | { readonly kind: "operator" };

export const PUBLIC_CALLER: Caller = { kind: "public" };

/** The caller of the present call; public when nobody said otherwise. */
export const callerKey = createContextKey<Caller>(PUBLIC_CALLER, { description: "caller" });

/** The address of the connection's other end (`203.0.113.7`), without port; empty in process. */
export const peerAddressKey = createContextKey<string>("", { description: "peer address" });

/** The caller as a device. Throws `unauthenticated` when it is not one. */
export function requireDevice(context: Pick<HandlerContext, "values">): DeviceCaller {
  const caller = context.values.get(callerKey);
  if (caller.kind === "device") return caller;
  throw unauthenticated(
    "DEVICE_REQUIRED",
    "This call needs the access token of a signed-in device.",
  );
}
