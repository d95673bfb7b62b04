/** The directory service on a gRPC server, with clients of the services that it calls. */
import { SettingError } from "@parley/platform/config";
import { createGrpcHost } from "@parley/platform/rpc/grpc-host";
import { createGrpcTransport } from "@parley/platform/rpc/grpc-transport";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import type { RunningProcess } from "@parley/platform/run-process";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { DirectoryConfig, DirectoryProcessConfig } from "./config.ts";
import { createDirectoryService } from "./service.ts";

/** For calls that set no deadline of their own, in ms. */
const CALL_TIMEOUT_MS = 10_000;

/** Starts everything; what it gives back owns all of it. */
export async function startDirectoryProcess(
  config: DirectoryConfig,
  processConfig: DirectoryProcessConfig,
  telemetry: Telemetry,
): Promise<RunningProcess> {
  const { serviceToken, listen, messageAddresses, fanoutAddresses } = processConfig;
  await using resources = new AsyncDisposableStack();
  const transportTo = (addresses: readonly string[]) =>
    resources.use(
      createGrpcTransport({
        addresses,
        serviceToken,
        serviceName: "directory",
        defaultTimeoutMs: CALL_TIMEOUT_MS,
      }),
    );
  const transports = {
    message: transportTo(messageAddresses),
    fanout: transportTo(fanoutAddresses),
  };
  const service = resources.use(await createDirectoryService(config, { telemetry, transports }));
  const hosting = createGrpcHost({
    routes: service.routes,
    interceptors: standardInterceptors(telemetry),
    address: listen,
    serviceToken,
    drainTimeoutMs: processConfig.drainMs,
  });
  const host = resources.use(
    await hosting.catch((error) => Promise.reject(explain(error, listen))),
  );
  await service.start();
  telemetry.log.info(host.address, "The directory listens.");
  const owned = resources.move();
  return {
    drain: () => host.drain(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A port or address that cannot be had is the operator's to mend. */
function explain(error: unknown, { host, port }: DirectoryProcessConfig["listen"]): unknown {
  const reason = /EADDRINUSE|EACCES|EADDRNOTAVAIL/.exec(String(error))?.[0];
  if (reason === undefined) return error;
  const variable = "PARLEY_DIRECTORY_LISTEN";
  const why = {
    EADDRINUSE: "another program listens there: stop that one, or set another port",
    EACCES: "this user may not use that port: set one from 1024 on",
    EADDRNOTAVAIL: "that is no address of this machine: set one that `ip address` shows",
  }[reason];
  return new SettingError(variable, `${variable} is ${host}:${port}, and ${why}.`, error);
}
