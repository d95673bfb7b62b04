/** The directory service: wiring by hand. */
import { randomBytes } from "node:crypto";
import { createClient, type Transport } from "@connectrpc/connect";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { type Clock, systemClock } from "@parley/platform/clock";
import { SettingError } from "@parley/platform/config";
import type { Health } from "@parley/platform/health";
import { createRateLimiter } from "@parley/platform/rate-limit";
import type { Routes } from "@parley/platform/rpc/route";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { createAccessTokenSigner } from "./access-token-signer.ts";
import type { ServerKeyStore } from "./account-ports.ts";
import { createAccountRoutes } from "./api/routes.ts";
import { createBlockRelay } from "./block-relay.ts";
import type { DirectoryConfig } from "./config.ts";
import { createConversationRoutes } from "./conversation-wiring.ts";
import { deriveRefreshTokenKeys, type RefreshTokenKeys } from "./domain/refresh-token.ts";
import { createSqlAccountStore, createSqlServerKeyStore } from "./embedded/sql-account-store.ts";
import { createSqlBlockOutbox, createSqlPeople } from "./embedded/sql-block-store.ts";
import { createSqlContactStore } from "./embedded/sql-contact-store.ts";
import { createSqlDeviceStore } from "./embedded/sql-device-store.ts";
import { createExternalIssuer } from "./external-issuer.ts";
import { createPasswordHasher } from "./password-hasher.ts";
import { createRevocationRelay } from "./revocation-relay.ts";
import { openDatabase } from "./stores.ts";

export type DirectoryDependencies = {
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  /** Told when the database cannot be reached, and when it and the log are of different histories. */
  readonly health?: Health;
  /** May be bound after the service was created; nothing is called before `start`. */
  readonly transports: { readonly message: Transport; readonly fanout: Transport };
};

export type DirectoryService = AsyncDisposable & {
  /** AccountService, ContactService, ConversationService (devices) and DirectoryService (internal). */
  readonly routes: Routes;
  /** Begins to bring to other parts what an earlier process left in the outboxes. */
  start(): Promise<void>;
};

/** Usernames whose attempts are remembered; about 20 MB when full. */
const ATTEMPT_KEYS_MAX = 100_000;
/** Refreshes of one device: a client needs one per access token; each one costs a row for a minute. */
const REFRESHES_BURST = 30;
const REFRESHES_PER_SECOND = 0.5;
const REFRESH_SECRET_NAME = "refresh-token-secret";
/** Gateways that are silent count as gone after half a minute. */
const END_SESSIONS_TIMEOUT_MS = 35_000;

/** Opens the database and creates the service. Disposing it stops the relays and closes the database. */
export async function createDirectoryService(
  config: DirectoryConfig,
  dependencies: DirectoryDependencies,
): Promise<DirectoryService> {
  const { telemetry, clock = systemClock, health, transports } = dependencies;
  await using resources = new AsyncDisposableStack();
  const database = resources.use(await openDatabase(config, { log: telemetry.log, health }));
  const accounts = createSqlAccountStore(database);
  const devices = createSqlDeviceStore(database);
  const people = createSqlPeople(database);
  const keys = createSqlServerKeyStore(database);
  const conversations = resources.use(
    await createConversationRoutes({
      database,
      transports,
      telemetry,
      clock,
      health,
      limits: config.conversationLimits,
      people,
    }),
  );
  const blocks = resources.use(
    createBlockRelay({
      outbox: createSqlBlockOutbox(database),
      setSendPermission: conversations.setSendPermission,
      telemetry,
    }),
  );
  const revocations = resources.use(
    createRevocationRelay({
      outbox: devices,
      endSessions: createSessionEnder(transports.fanout),
      telemetry,
    }),
  );
  const routes = createAccountRoutes({
    accounts,
    devices,
    privacy: accounts,
    contacts: createSqlContactStore(database),
    people,
    sharedMembers: conversations.sharedMembers,
    sendPermissions: blocks,
    revocations,
    hasher: createPasswordHasher(config.passwordHashing),
    signer: await openSigner(config, keys, clock),
    refreshTokenKeys: await readRefreshTokenKeys(keys, clock),
    externalIssuer:
      config.externalIssuer && createExternalIssuer({ ...config.externalIssuer, clock }),
    ...createLimiters(config, clock),
    lifetimes: config.lifetimes,
    signUpOpen: config.signUpOpen,
    clock,
    log: telemetry.log,
  });
  const owned = resources.move();
  return {
    routes: [...routes, ...conversations.routes],
    async start() {
      await conversations.start();
      blocks.start();
      revocations.start();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function createLimiters({ attempts }: DirectoryConfig, clock: Clock) {
  return {
    attempts: createRateLimiter({
      ratePerSecond: attempts.perMinute / 60,
      burst: attempts.burst,
      keysMax: ATTEMPT_KEYS_MAX,
      clock,
    }),
    refreshes: createRateLimiter({
      ratePerSecond: REFRESHES_PER_SECOND,
      burst: REFRESHES_BURST,
      keysMax: ATTEMPT_KEYS_MAX,
      clock,
    }),
  };
}

function openSigner(config: DirectoryConfig, keys: ServerKeyStore, clock: Clock) {
  const distrustBeforeMs = config.signingKeysSinceMs;
  if (distrustBeforeMs > clock.nowMs()) {
    const name = "PARLEY_DIRECTORY_SIGNING_KEYS_SINCE";
    throw new SettingError(name, `${name} is a time that is still to come: set one that is over.`);
  }
  return createAccessTokenSigner({
    issuer: config.issuer,
    signingKeyJson: config.signingKeyJson,
    policy: {
      rotateAfterMs: config.signingKeyAgeMs,
      accessMs: config.lifetimes.accessMs,
      distrustBeforeMs,
    },
    keys,
    clock,
  });
}

async function readRefreshTokenKeys(keys: ServerKeyStore, clock: Clock): Promise<RefreshTokenKeys> {
  const proposed = randomBytes(32).toString("base64url");
  const secret = await keys.readOrCreate(REFRESH_SECRET_NAME, proposed, clock.nowMs());
  return deriveRefreshTokenKeys(Buffer.from(secret, "base64url"));
}

function createSessionEnder(transport: Transport) {
  const client = createClient(FanoutService, transport);
  return async (userId: string, deviceIds: readonly string[], signal: AbortSignal) => {
    const options = { signal, timeoutMs: END_SESSIONS_TIMEOUT_MS };
    await client.revokeSessions({ userId, deviceIds: [...deviceIds] }, options);
  };
}
