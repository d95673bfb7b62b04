/** Who may open a session on a WebSocket: as for the roads of RPCs, decided before a session is begun. */
import { Code } from "@connectrpc/connect";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { fromUnknown, retryAfterMsOf } from "@parley/platform/errors";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import { createGoodbye, SessionRefusedError } from "../session/goodbye.ts";
import type { Addresses } from "./addresses.ts";
import type { Authenticator } from "./authenticator.ts";
import type { RateLimits } from "./rate-limits.ts";

export type SocketAdmission = {
  readonly addresses: Pick<Addresses, "clientAddress">;
  /** Counts an upgrade. Throws when too many come from the address. */
  readonly takeUpgrade: (address: string) => void;
  /** The device that opens a session, counted. Rejects with a `SessionRefusedError`. */
  readonly admit: (accessToken: string, address: string) => Promise<DeviceCaller>;
};

export function createSocketAdmission(dependencies: {
  readonly addresses: Pick<Addresses, "clientAddress">;
  readonly authenticator: Pick<Authenticator, "verify">;
  readonly limits: Pick<RateLimits, "takeOpen">;
}): SocketAdmission {
  const { addresses, authenticator, limits } = dependencies;
  return {
    addresses,
    takeUpgrade: (address) => limits.takeOpen(undefined, address),
    async admit(accessToken, address) {
      try {
        const caller = await authenticator.verify(accessToken, address);
        limits.takeOpen(caller, "");
        return caller;
      } catch (error) {
        throw toSessionRefused(error);
      }
    },
  };
}

function toSessionRefused(error: unknown): SessionRefusedError {
  const { code, rawMessage: detail } = fromUnknown(error);
  switch (code) {
    case Code.Unauthenticated:
      return refuse(GoodbyeReason.UNAUTHENTICATED, { detail }, error);
    case Code.ResourceExhausted: {
      const reconnectDelayMs = retryAfterMsOf(error);
      return refuse(GoodbyeReason.RATE_LIMITED, { detail, reconnectDelayMs }, error);
    }
    default:
      return refuse(GoodbyeReason.INTERNAL, {}, error);
  }
}

function refuse(
  reason: GoodbyeReason,
  options: Parameters<typeof createGoodbye>[1],
  cause: unknown,
): SessionRefusedError {
  return new SessionRefusedError(createGoodbye(reason, options), cause);
}
