/** Where the other processes of a deployment reach the services of this one. */

import type { Health } from "@parley/platform/health";
import type { LifecycleStep } from "@parley/platform/lifecycle";
import { createGrpcHost, type GrpcHost } from "@parley/platform/rpc/grpc-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import type { Routes } from "@parley/platform/rpc/route";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { ServiceName, SplitConfig } from "./split-config.ts";

/** The step of a process's life in which its services can be called from elsewhere. */
export function internalHost(
  { listen, serviceToken, advertisedAddress }: SplitConfig,
  routes: Readonly<Partial<Record<ServiceName, Routes>>>,
  parts: { readonly telemetry: Telemetry; readonly lifecycle: { readonly health: Health } },
  drainMs: number,
): LifecycleStep {
  const { telemetry, lifecycle } = parts;
  let host: GrpcHost | undefined;
  return {
    name: "internal host",
    async start() {
      host = await createGrpcHost({
        routes: Object.values(routes).flat(),
        interceptors: standardInterceptors(telemetry),
        address: listen,
        serviceToken,
        health: lifecycle.health,
        drainTimeoutMs: drainMs,
      });
      const services = Object.keys(routes).join(", ");
      const { address } = host;
      telemetry.log.info(
        { ...address, advertised: advertisedAddress, services },
        "Services listen.",
      );
    },
    drain: async () => host?.drain(),
    dispose: async () => host?.[Symbol.asyncDispose](),
  };
}
