/** What the kernel costs per call and per batch item: `node platform/bench/main.ts`. About 15 s. */
import { createClient, type Transport } from "@connectrpc/connect";
import { Volume } from "@parley/gen/parley/internal/testing/v1/echo_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { createGrpcHost } from "../src/rpc/grpc-host.ts";
import { createGrpcTransport } from "../src/rpc/grpc-transport.ts";
import { createInProcessTransport } from "../src/rpc/in-process-host.ts";
import { standardInterceptors } from "../src/rpc/interceptors/standard.ts";
import { createConverseClient, createEchoRoutes } from "../src/rpc/testing/echo-routes.ts";
import { silentTelemetry } from "../src/telemetry/telemetry.ts";

const ROUNDS = 5;
const BATCH_CALLERS = 500;

/** The best of some rounds, because everything else on the machine only adds. */
async function measure(what: string, count: number, run: (count: number) => Promise<void>) {
  let bestUs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now();
    await run(count);
    bestUs = Math.min(bestUs, ((performance.now() - startMs) * 1000) / count);
  }
  process.stdout.write(`${what.padEnd(58)} ${bestUs.toFixed(2).padStart(8)} µs\n`);
}

async function unaryInTurn(transport: Transport, count: number) {
  const client = createClient(EchoService, transport);
  const request = { saying: { text: "hello", volume: Volume.QUIET } };
  for (let index = 0; index < count; index++) await client.echo(request);
}

/** `BATCH_CALLERS` callers, each making its next call when the last is answered. */
async function batchItems(transport: Transport, count: number) {
  await using client = createConverseClient(createClient(EchoService, transport));
  const caller = async () => {
    for (let index = 0; index < count / BATCH_CALLERS; index++) await client.call("hello");
  };
  await Promise.all(Array.from({ length: BATCH_CALLERS }, caller));
}

const { routes } = createEchoRoutes();
const interceptors = standardInterceptors(silentTelemetry());
const asCaller = { kind: "internal", service: "bench" } as const;
const bare = createInProcessTransport({ routes, interceptors: [], asCaller });
const full = createInProcessTransport({ routes, interceptors, asCaller });

await measure("in process, unary, no interceptors", 50_000, (n) => unaryInTurn(bare, n));
await measure("in process, unary, standard interceptors", 50_000, (n) => unaryInTurn(full, n));
await measure("in process, batch stream, no interceptors", 200_000, (n) => batchItems(bare, n));
await measure("in process, batch stream, standard interceptors", 200_000, (n) =>
  batchItems(full, n),
);

await using host = await createGrpcHost({
  routes,
  interceptors,
  address: { host: "127.0.0.1", port: 0 },
  serviceToken: "bench",
});
await using grpc = createGrpcTransport({
  addresses: [`127.0.0.1:${host.address.port}`],
  serviceToken: "bench",
  serviceName: "bench",
  defaultTimeoutMs: 10_000,
});
await measure("grpc-js in one process, unary, one after another", 2000, (n) =>
  unaryInTurn(grpc, n),
);
await measure("grpc-js in one process, batch stream", 100_000, (n) => batchItems(grpc, n));
