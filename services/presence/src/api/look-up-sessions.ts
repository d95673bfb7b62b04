import type { ServiceImpl } from "@connectrpc/connect";
import type { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import type { SessionRegistry } from "../ports.ts";

type Dependencies = { readonly registry: Pick<SessionRegistry, "lookUp"> };

/** Finds the gateways that hold people's sessions. */
export function createLookUpSessions({
  registry,
}: Dependencies): ServiceImpl<typeof SessionRegistryService>["lookUpSessions"] {
  return async ({ userIds }) => ({ gateways: await registry.lookUp(userIds) });
}
