/** How services reach each other: in this process without serialisation, elsewhere over gRPC. */
import type { DescMethod } from "@bufbuild/protobuf";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { AppendService } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import { systemClock } from "@parley/platform/clock";
import { createGrpcTransport } from "@parley/platform/rpc/grpc-transport";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import type { Route, Routes } from "@parley/platform/rpc/route";
import { silentTelemetry, type Telemetry } from "@parley/platform/telemetry/telemetry";
import { createAppendRouter } from "./append-router.ts";
import { createLateTransport, type LateTransport } from "./late-transport.ts";
import { createPartitionOwners } from "./partition-owners.ts";
import { SERVICE_NAMES, type ServiceName, type SplitConfig } from "./split-config.ts";

export type Links = AsyncDisposable & {
  /** Made before the services are: nobody calls before `start`. */
  readonly transports: Readonly<Record<ServiceName, Transport>>;
  /** A gateway, here or elsewhere, by its delivery address; empty for the one in this process. */
  gateway(gatewayId: string, address: string): Transport;
  /** Says what runs here; whatever is missing is elsewhere. Once. */
  bind(local: Readonly<Partial<Record<ServiceName, Routes>>>): void;
};

/** For calls that set no deadline of their own, in ms. */
const CALL_TIMEOUT_MS = 10_000;

/** `split` is undefined where everything runs here. Disposing closes the connections. */
export function createLinks(split: SplitConfig | undefined, telemetry: Telemetry): Links {
  const late = Object.fromEntries(
    SERVICE_NAMES.map((name) => [name, createLateTransport(name)]),
  ) as Record<ServiceName, LateTransport>;
  const resources = new AsyncDisposableStack();
  return {
    transports: late,
    gateway(_gatewayId, address) {
      if (split === undefined || address === "" || address === split.advertisedAddress) {
        return late.gateway;
      }
      return connect(split, [address]);
    },
    bind(local) {
      for (const name of SERVICE_NAMES) {
        const routes = local[name];
        if (routes !== undefined) {
          const transport = inProcess(routes, telemetry);
          const routed = split !== undefined && name === "message";
          late[name].bind(routed ? route(split, transport) : transport);
        } else if (split?.addresses[name] !== undefined) {
          const transport = resources.use(connect(split, split.addresses[name]));
          late[name].bind(name === "message" ? route(split, transport) : transport);
        }
      }
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };

  /** Appends go to whoever applies their partition; everything else to any instance. */
  function route(config: SplitConfig, any: Transport): Transport {
    const { log } = telemetry;
    const owners = resources.use(
      createPartitionOwners({
        routes: createClient(PartitionRouteService, late.presence),
        clock: systemClock,
        log,
      }),
    );
    const router = resources.use(
      createAppendRouter({
        owners,
        connect: (address) =>
          address === config.advertisedAddress ? undisposed(any) : connect(config, [address]),
        clock: systemClock,
        log,
      }),
    );
    const routed = createInProcessTransport({
      routes: [router.route],
      interceptors: [],
      asCaller: { kind: "internal", service: "parley" },
    });
    const chosen = ({ parent }: DescMethod) =>
      parent.typeName === AppendService.typeName ? routed : any;
    return byMethod(chosen);
  }
}

function connect(
  { serviceToken }: SplitConfig,
  addresses: readonly string[],
): Transport & AsyncDisposable {
  return createGrpcTransport({
    addresses,
    serviceToken,
    serviceName: "parley",
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  });
}

function undisposed(transport: Transport): Transport & AsyncDisposable {
  return {
    unary: (...call) => transport.unary(...call),
    stream: (...call) => transport.stream(...call),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const silent = silentTelemetry();

/**
 * People's calls have been counted and logged at the edge already; here only calls between services are, so that a
 * figure means the same in one process as in many.
 */
function inProcess(routes: Routes, telemetry: Telemetry): Transport {
  const transportOf = (interceptors: Interceptor[], of: Routes) =>
    createInProcessTransport({
      routes: of,
      interceptors,
      asCaller: { kind: "internal", service: "parley" },
    });
  const isInternal = ({ service }: Route) => service.typeName.startsWith("parley.internal.");
  const own = transportOf(standardInterceptors(telemetry), routes.filter(isInternal));
  const edge = transportOf(
    standardInterceptors(silent),
    routes.filter((route) => !isInternal(route)),
  );
  return byMethod(({ parent }) => (parent.typeName.startsWith("parley.internal.") ? own : edge));
}

function byMethod(chosen: (method: DescMethod) => Transport): Transport {
  return {
    unary: (method, ...call) => chosen(method).unary(method, ...call),
    stream: (method, ...call) => chosen(method).stream(method, ...call),
  };
}
