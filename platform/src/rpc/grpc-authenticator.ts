/** Who is at the other end of a grpc-js call. */
import type { ContextValues } from "@connectrpc/connect";
import type { Metadata } from "@grpc/grpc-js";
import { unauthenticated } from "../errors.ts";
import { secretsEqual } from "./access.ts";
import { callerKey, peerAddressKey } from "./caller.ts";
import { forkContextValues } from "./context-values.ts";
import {
  CALLER_HEADER,
  decodeCaller,
  PEER_ADDRESS_HEADER,
  SERVICE_TOKEN_HEADER,
} from "./headers.ts";

/** Context values with the caller and the peer's address. Throws `unauthenticated` for a wrong token. */
export type GrpcAuthenticator = (metadata: Metadata, peer: string) => ContextValues;

/**
 * Only who shows the service token is believed about the caller and the client's address; without it,
 * the caller is public and the address is the connection's own.
 */
export function createGrpcAuthenticator(serviceToken: string | undefined): GrpcAuthenticator {
  return (metadata, peer) => {
    const values = forkContextValues();
    const token = metadata.get(SERVICE_TOKEN_HEADER)[0];
    if (token === undefined) return values.set(peerAddressKey, withoutPort(peer));
    if (serviceToken === undefined || !secretsEqual(String(token), serviceToken)) {
      throw unauthenticated("SERVICE_TOKEN_INVALID", "The service token is not this deployment's.");
    }
    const bytes = metadata.get(CALLER_HEADER)[0];
    const caller = bytes instanceof Buffer ? decodeCaller(bytes) : undefined;
    if (caller === undefined) {
      throw unauthenticated("CALLER_INVALID", "The call does not say on whose behalf it is made.");
    }
    const address = metadata.get(PEER_ADDRESS_HEADER)[0];
    return values
      .set(callerKey, caller)
      .set(peerAddressKey, address === undefined ? withoutPort(peer) : String(address));
  };
}

/** `ipv4:203.0.113.7:4711`, `203.0.113.7:4711` or `[::1]:4711` without scheme and port. */
function withoutPort(peer: string): string {
  return peer
    .replace(/^ipv[46]:/, "")
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1");
}
