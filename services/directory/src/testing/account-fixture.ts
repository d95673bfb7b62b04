/** The whole directory service as its tests use it: a real database, real routes, other parts in memory. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { DevicePlatform, type Tokens, type User } from "@parley/gen/parley/account/v1/account_pb";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { ContactService } from "@parley/gen/parley/contact/v1/contact_service_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import {
  FanoutService,
  type RevokeSessionsRequest,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { createManualClock, type ManualClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import type { Caller } from "@parley/platform/rpc/caller";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { type DirectoryConfig, toDirectoryConfig } from "../config.ts";
import { createDirectoryService } from "../service.ts";
import { createMemoryAppendService, type MemoryAppendService } from "./memory-append-service.ts";

export const DEVICE = { name: "Test device", platform: DevicePlatform.NODE };
export const PASSWORD = "correct horse battery";

/** Somebody who signed up, with the clients of their first device. */
export type Person = {
  readonly user: User;
  readonly userId: string;
  readonly username: string;
  readonly deviceId: string;
  readonly tokens: Tokens;
  readonly account: Client<typeof AccountService>;
  readonly contact: Client<typeof ContactService>;
  readonly conversation: Client<typeof ConversationService>;
};

/** The fan-out service as the directory sees it. */
export type RecordingFanout = {
  readonly routes: Routes;
  readonly revoked: RevokeSessionsRequest[];
  failing: boolean;
  /** Resolves when `count` revocations have arrived. */
  arrived(count: number): Promise<void>;
};

export type AccountFixture = AsyncDisposable & {
  readonly clock: ManualClock;
  readonly log: MemoryAppendService;
  readonly fanout: RecordingFanout;
  /** Anybody, without a token. */
  readonly anybody: Client<typeof AccountService>;
  readonly internal: Client<typeof DirectoryService>;
  readonly routes: Routes;
  as(userId: string, deviceId: string): Pick<Person, "account" | "contact" | "conversation">;
  /** Signs somebody up. */
  person(username: string, displayName?: string): Promise<Person>;
  readonly databasePath: string;
  /**
   * Stops the process and starts another one on the same file, which `meanwhile` may use in between. What is
   * given in `changes` is configured from then on.
   */
  restart(
    meanwhile?: (databasePath: string) => Promise<void>,
    changes?: Partial<DirectoryConfig>,
  ): Promise<void>;
};

export type AccountFixtureOptions = {
  readonly config?: Partial<DirectoryConfig>;
  /** Another instance, whose log, fan-out and clock this one has too. */
  readonly beside?: Pick<AccountFixture, "log" | "fanout" | "clock">;
};

export async function createAccountFixture(
  options: AccountFixtureOptions = {},
): Promise<AccountFixture> {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  const telemetry = silentTelemetry();
  const {
    clock = createManualClock(),
    log = createMemoryAppendService(),
    fanout = createRecordingFanout(),
  } = options.beside ?? {};
  const transportOf = (routes: Routes, asCaller: Caller): Transport =>
    createInProcessTransport({ routes, interceptors: standardInterceptors(telemetry), asCaller });
  const internal: Caller = { kind: "internal", service: "test" };
  let config: DirectoryConfig = {
    ...toDirectoryConfig({ PARLEY_DATA_DIRECTORY: directory, workingDirectory: directory }),
    // The cheapest that argon2 does: what hashing costs is tested where it is made.
    passwordHashing: {
      memoryKib: 64,
      passes: 1,
      parallelism: 1,
      concurrencyMax: 2,
      waitingMax: 256,
    },
    attempts: { burst: 100_000, perMinute: 100_000 },
    ...options.config,
  };
  const boot = async () => {
    const service = await createDirectoryService(config, {
      telemetry,
      clock,
      transports: {
        message: transportOf(log.routes, internal),
        fanout: transportOf(fanout.routes, internal),
      },
    });
    await service.start();
    return service;
  };
  let service = await boot();

  const as = (userId: string, deviceId: string) => {
    const expireTimeMs = Number.MAX_SAFE_INTEGER;
    const transport = transportOf(service.routes, {
      kind: "device",
      userId,
      deviceId,
      expireTimeMs,
    });
    return {
      account: createClient(AccountService, transport),
      contact: createClient(ContactService, transport),
      conversation: createClient(ConversationService, transport),
    };
  };
  const anybody = () =>
    createClient(AccountService, transportOf(service.routes, { kind: "public" }));

  return {
    clock,
    log,
    fanout,
    get anybody() {
      return anybody();
    },
    get internal() {
      return createClient(DirectoryService, transportOf(service.routes, internal));
    },
    get routes() {
      return service.routes;
    },
    as,
    async person(username, displayName = "") {
      const request = { username, password: PASSWORD, displayName, device: DEVICE };
      const { user, deviceId, tokens } = await anybody().signUp(request);
      assert.ok(user !== undefined && tokens !== undefined);
      const { userId } = user;
      return { user, userId, username, deviceId, tokens, ...as(userId, deviceId) };
    },
    databasePath: config.databasePath,
    async restart(meanwhile, changes = {}) {
      await service[Symbol.asyncDispose]();
      config = { ...config, ...changes };
      await meanwhile?.(config.databasePath);
      service = await boot();
    },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await telemetry[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function createRecordingFanout(): RecordingFanout {
  const revoked: RevokeSessionsRequest[] = [];
  const waiting: { readonly count: number; resolve(): void }[] = [];
  const unused = () => {
    throw unavailable("UNUSED", "The account half does not call this.");
  };
  const fanout: RecordingFanout = {
    revoked,
    failing: false,
    arrived(count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (revoked.length >= count) resolve();
      else waiting.push({ count, resolve });
      return promise;
    },
    routes: [
      defineRoute(FanoutService, {
        revokeSessions(request) {
          if (fanout.failing) throw unavailable("DOWN", "The fan-out is down.");
          revoked.push(request);
          for (const waiter of waiting) if (revoked.length >= waiter.count) waiter.resolve();
          return {};
        },
        dispatchBatches: unused,
        dispatchEphemeral: unused,
        dispatchReceipt: unused,
        dispatchToUsers: unused,
        listInboxHeads: unused,
      }),
    ],
  };
  return fanout;
}
