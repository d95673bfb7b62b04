/** A gateway on a free port with in-memory services behind it, and a fan-out that delivers to it. */
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  type DeliverBatchesRequest,
  DeliverBatchesRequestSchema,
  DeliveryService,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { type AsyncQueue, createAsyncQueue } from "@parley/platform/async/queue";
import { systemClock, type TimerClock } from "@parley/platform/clock";
import { createHealth, type Health } from "@parley/platform/health";
import { newUuid } from "@parley/platform/ids";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { silentTelemetry, type Telemetry } from "@parley/platform/telemetry/telemetry";
import { type GatewayConfig, toGatewayConfig } from "../config.ts";
import { createGateway, type Gateway, type GatewayDependencies } from "../service.ts";
import type { ChatDelivery } from "./memory-chat.ts";
import { createMemoryServices, type MemoryServices } from "./memory-services.ts";
import type { TokenMint } from "./tokens.ts";

export type TestPerson = {
  readonly userId: string;
  readonly deviceId: string;
  readonly token: string;
};

export type TestGateway = AsyncDisposable & {
  readonly gateway: Gateway;
  readonly services: MemoryServices;
  readonly health: Health;
  readonly telemetry: Telemetry;
  readonly port: number;
  readonly url: string;
  /** A device with its token; of a new person, or of the one given. */
  person(options?: { userId?: string; expireTimeMs?: number }): Promise<TestPerson>;
  /** Delivers from now on only when `release` is called. */
  holdDeliveries(): void;
  /** Delivers the oldest held deliveries, all without a number. */
  release(count?: number): void;
  /** Entries that are lost on their way to this gateway. */
  dropDeliveries: boolean;
  readonly heldDeliveries: number;
  readonly absent: string[];
  /** Resolves when every batch handed to the gateway so far was acknowledged. */
  acknowledged(): Promise<void>;
  endSessions(userId: string, deviceIds?: string[]): Promise<number>;
};

export type TestGatewayOptions = {
  readonly config?: Partial<GatewayConfig>;
  readonly clock?: TimerClock;
  readonly staticFiles?: GatewayDependencies["staticFiles"];
  readonly telemetry?: Telemetry;
  readonly mint?: TokenMint;
};

/** No rate of a test should be a limit, unless it tests the limit. */
export const UNLIMITED = {
  sendsPerSecond: 1_000_000,
  callsPerSecond: 1_000_000,
  opensPerMinute: 1_000_000,
  addressOpensPerMinute: 1_000_000,
  failuresPerMinute: 1_000_000,
  signUpsPerMinute: 1_000_000,
  signInsPerMinute: 1_000_000,
};

export async function startTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const services = await createMemoryServices(options.mint);
  const clock = options.clock ?? systemClock;
  const telemetry = options.telemetry ?? silentTelemetry();
  const health = createHealth();
  const { staticFiles } = options;
  const gateway = await createGateway(
    {
      ...toGatewayConfig({ workingDirectory: "/", PARLEY_GATEWAY_PORT: "0" }),
      rates: UNLIMITED,
      ...options.config,
    },
    {
      telemetry,
      clock,
      health,
      transports: services.transports,
      ...(staticFiles === undefined ? {} : { staticFiles }),
    },
  );
  await gateway.start();
  const fanout = new TestFanout(gateway, services);
  const { port } = gateway.address;
  return {
    gateway,
    services,
    health,
    telemetry,
    port,
    url: `http://127.0.0.1:${port}`,
    async person({ userId = newUuid(), expireTimeMs = clock.nowMs() + 3_600_000 } = {}) {
      const deviceId = newUuid();
      const token = await services.mint.mint({ userId, deviceId, expireTimeMs });
      return { userId, deviceId, token };
    },
    holdDeliveries: () => {
      fanout.holding = true;
    },
    release: (count) => fanout.release(count),
    get dropDeliveries() {
      return fanout.dropping;
    },
    set dropDeliveries(dropping) {
      fanout.dropping = dropping;
    },
    get heldDeliveries() {
      return fanout.held.length;
    },
    absent: fanout.absent,
    acknowledged: () => fanout.acknowledged(),
    endSessions: (userId, deviceIds = []) => fanout.endSessions(userId, deviceIds),
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await fanout.close();
    },
  };
}

/** Delivers to whoever is registered, in order, over one numbered stream. */
class TestFanout {
  holding = false;
  dropping = false;
  held: ChatDelivery[] = [];
  readonly absent: string[] = [];
  readonly #batches: AsyncQueue<DeliverBatchesRequest>;
  readonly #services: MemoryServices;
  readonly #client;
  readonly #reading: Promise<void>;
  #sent = 0n;
  #acknowledged = 0n;
  #waiters: { until: bigint; resolve: () => void }[] = [];

  constructor(gateway: Gateway, services: MemoryServices) {
    this.#services = services;
    this.#batches = createAsyncQueue({ max: 1_000_000 });
    const transport = createInProcessTransport({
      routes: gateway.routes,
      interceptors: standardInterceptors(silentTelemetry()),
      asCaller: { kind: "internal", service: "fanout" },
    });
    this.#client = createClient(DeliveryService, transport);
    this.#reading = this.#read();
    services.chat.onEntry = (delivery) => {
      this.held.push(delivery);
      if (!this.holding) this.release();
    };
  }

  release(count = this.held.length): void {
    for (const delivery of this.held.splice(0, count)) {
      if (!this.dropping) this.#deliver(delivery);
    }
  }

  acknowledged(): Promise<void> {
    if (this.#acknowledged >= this.#sent) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ until: this.#sent, resolve }));
  }

  async endSessions(userId: string, deviceIds: string[]): Promise<number> {
    return (await this.#client.endSessions({ userId, deviceIds })).endedCount;
  }

  async close(): Promise<void> {
    this.#batches.close();
    await this.#reading;
  }

  #deliver({ conversationId, entry, originSessionId, userIds, traceParent }: ChatDelivery): void {
    const { registry } = this.#services;
    const online = userIds.filter((userId) => registry.isOnline(userId));
    if (online.length === 0) return;
    const event = { seq: BigInt(entry.seq), event: entry.event, originSessionId, traceParent };
    const batchNumber = ++this.#sent;
    this.#batches.push(
      create(DeliverBatchesRequestSchema, {
        batchNumber,
        deliveries: [{ conversationId, events: [event], userIds: online }],
      }),
    );
  }

  async #read(): Promise<void> {
    for await (const { batchNumber, absentUserIds } of this.#client.deliverBatches(this.#batches)) {
      this.#acknowledged = batchNumber;
      this.absent.push(...absentUserIds);
      this.#waiters = this.#waiters.filter(({ until, resolve }) => {
        if (until <= batchNumber) resolve();
        return until > batchNumber;
      });
    }
  }
}
