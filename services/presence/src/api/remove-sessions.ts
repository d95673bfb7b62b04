import type { ServiceImpl } from "@connectrpc/connect";
import type { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import type { SessionRegistry } from "../ports.ts";

type Dependencies = { readonly registry: Pick<SessionRegistry, "remove"> };

/** Takes ended sessions out; without ids, all of a gateway that shuts down. */
export function createRemoveSessions({
  registry,
}: Dependencies): ServiceImpl<typeof SessionRegistryService>["removeSessions"] {
  return async ({ gatewayId, sessionIds }) => {
    await registry.remove(gatewayId, sessionIds.length === 0 ? "all" : sessionIds);
    return {};
  };
}
