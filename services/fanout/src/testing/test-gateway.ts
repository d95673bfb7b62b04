/** A gateway that keeps what it is told. */
import type { Transport } from "@connectrpc/connect";
import {
  type DeliverBatchesRequest,
  type Delivery,
  DeliveryService,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import { unavailable } from "@parley/platform/errors";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";

export type TestGateway = {
  readonly transport: Transport;
  /** Every delivery that was taken, in order. */
  readonly deliveries: Delivery[];
  /** The numbers of the batches of each stream. */
  readonly streams: bigint[][];
  /** Whom each batch named as having missed something, in order: batches that named nobody are left out. */
  readonly missed: (readonly string[] | "everybody")[];
  /** How streams came to their end, in order. */
  readonly endings: ("ended" | "broken")[];
  /** What `EndSessions` was called with. */
  readonly ended: { userId: string; deviceIds: string[] }[];
  /** `seq` of every durable event that a person got, in order. */
  seqsOf(userId: string): number[];
  /** Resolves when so many deliveries were taken in all. */
  received(count: number): Promise<void>;
  /**
   * `deaf`: takes batches and never acknowledges. `gone`: refuses streams and breaks the open ones. `slow`:
   * takes them and acknowledges one when `releaseOne` is called. `ready`: takes and acknowledges.
   */
  mode: "ready" | "deaf" | "gone" | "slow";
  /** Batches that a slow gateway has yet to acknowledge. */
  readonly held: number;
  /** Lets a slow gateway acknowledge the oldest batch. */
  releaseOne(): void;
  /** People who are reported absent. */
  readonly absent: Set<string>;
};

export function createTestGateway(): TestGateway {
  let mode: TestGateway["mode"] = "ready";
  const deliveries: Delivery[] = [];
  const streams: bigint[][] = [];
  const missed: (readonly string[] | "everybody")[] = [];
  const endings: ("ended" | "broken")[] = [];
  const held: (() => void)[] = [];
  const ended: TestGateway["ended"] = [];
  const absent = new Set<string>();
  const waiting: { count: number; resolve: () => void }[] = [];
  let gone = createDeferred<never>();
  gone.promise.catch(() => undefined);

  const take = (request: DeliverBatchesRequest, numbers: bigint[]) => {
    numbers.push(request.batchNumber);
    deliveries.push(...request.deliveries);
    if (request.everybodyMissed) missed.push("everybody");
    else if (request.missedUserIds.length > 0) missed.push(request.missedUserIds);
    for (const one of waiting) if (deliveries.length >= one.count) one.resolve();
  };

  async function* deliverBatches(requests: AsyncIterable<DeliverBatchesRequest>) {
    if (mode === "gone") throw unavailable("GONE", "The gateway is gone.");
    const numbers: bigint[] = [];
    streams.push(numbers);
    const iterator = requests[Symbol.asyncIterator]();
    let ending: "ended" | "broken" = "broken";
    try {
      for (;;) {
        const next = await Promise.race([iterator.next(), gone.promise]);
        if (next.done === true) {
          ending = "ended";
          return;
        }
        if (mode === "deaf") continue;
        take(next.value, numbers);
        const { batchNumber } = next.value;
        if (mode === "slow") await new Promise<void>((resolve) => held.push(resolve));
        const users = next.value.deliveries.flatMap(({ userIds }) => userIds);
        yield { batchNumber, absentUserIds: users.filter((userId) => absent.has(userId)) };
      }
    } finally {
      endings.push(ending);
    }
  }

  const route = defineRoute(DeliveryService, {
    deliverBatches,
    async endSessions({ userId, deviceIds }) {
      if (mode === "gone") throw unavailable("GONE", "The gateway is gone.");
      ended.push({ userId, deviceIds });
      return { endedCount: 1 };
    },
  });
  return {
    transport: createInProcessTransport({
      routes: [route],
      interceptors: standardInterceptors(silentTelemetry()),
      asCaller: { kind: "internal", service: "fanout" },
    }),
    deliveries,
    streams,
    missed,
    endings,
    ended,
    absent,
    seqsOf: (userId) =>
      deliveries
        .filter(({ userIds }) => userIds.includes(userId))
        .flatMap(({ events }) => events.map(({ seq }) => Number(seq)))
        .filter((seq) => seq > 0),
    async received(count) {
      if (deliveries.length >= count) return;
      const { promise, resolve } = createDeferred<void>();
      waiting.push({ count, resolve });
      await promise;
    },
    get held() {
      return held.length;
    },
    releaseOne: () => held.shift()?.(),
    get mode() {
      return mode;
    },
    set mode(next) {
      if (next === "gone" && mode !== "gone") {
        gone.reject(unavailable("GONE", "The gateway is gone."));
        gone = createDeferred<never>();
        gone.promise.catch(() => undefined);
      }
      mode = next;
    },
  };
}
