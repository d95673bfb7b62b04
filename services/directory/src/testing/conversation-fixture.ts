/** The conversation half of the directory as its tests use it: real SQLite, real routes, people in memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { type Event, EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { createManualClock, type ManualClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import type { Kysely } from "kysely";
import { type ConversationRoutes, createConversationRoutes } from "../conversation-wiring.ts";
import type { Database } from "../embedded/schema.ts";
import { createSqlPeople } from "../embedded/sql-block-store.ts";
import { openSqliteDatabase } from "../embedded/sqlite-database.ts";
import { createMemoryAppendService, type MemoryAppendService } from "./memory-append-service.ts";

/** What the account half writes about people, as far as conversations see it. */
export type FixturePeople = {
  block(blockerUserId: string, blockedUserId: string): Promise<void>;
  unblock(blockerUserId: string, blockedUserId: string): Promise<void>;
};

/** What was handed to the fan-out for a person's own sessions. */
export type MemoryFanout = {
  readonly routes: Routes;
  readonly dispatched: { readonly userIds: readonly string[]; readonly event: Event }[];
  failing: boolean;
};

export type ConversationFixture = AsyncDisposable & {
  readonly db: Kysely<Database>;
  readonly clock: ManualClock;
  readonly people: FixturePeople;
  readonly log: MemoryAppendService;
  readonly fanout: MemoryFanout;
  /** The part under test; another one after `restart`. */
  readonly conversations: ConversationRoutes;
  /** New people with accounts. */
  addUsers(count: number): Promise<string[]>;
  /** The service as one person's device calls it. */
  as(userId: string): Client<typeof ConversationService>;
  /** A group of an owner and others, applied. */
  createGroup(ownerUserId: string, userIds: readonly string[]): Promise<string>;
  /** Stops the process and starts another one on the same files; what it did not finish stays undone. */
  restart(): Promise<void>;
};

export type FixtureOptions = {
  readonly groupMembersMax?: number;
  readonly applyWaitMaxMs?: number;
};

export async function createConversationFixture(
  options: FixtureOptions = {},
): Promise<ConversationFixture> {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  const clock = createManualClock();
  const log = createMemoryAppendService();
  const fanout = createMemoryFanout();
  const telemetry = silentTelemetry();
  const message = internalTransport(log.routes);
  const fanoutTransport = internalTransport(fanout.routes);

  const boot = async () => {
    const database = await openSqliteDatabase({ path: join(directory, "directory.sqlite") });
    const conversations = await createConversationRoutes({
      database,
      transports: { message, fanout: fanoutTransport },
      telemetry,
      clock,
      limits: {
        groupMembersMax: options.groupMembersMax ?? 500,
        inviteLifetimeMaxMs: 90 * 24 * 60 * 60 * 1000,
        encryptionModes: [EncryptionMode.SERVER_READABLE],
      },
      people: createSqlPeople(database),
      ...(options.applyWaitMaxMs === undefined ? {} : { applyWaitMaxMs: options.applyWaitMaxMs }),
    });
    await conversations.start();
    return { database, conversations };
  };
  let running = await boot();
  const stop = async () => {
    await running.conversations[Symbol.asyncDispose]();
    await running.database[Symbol.asyncDispose]();
  };

  const as = (userId: string) =>
    createClient(
      ConversationService,
      createInProcessTransport({
        routes: running.conversations.routes,
        interceptors: standardInterceptors(telemetry),
        asCaller: {
          kind: "device",
          userId,
          deviceId: userId,
          expireTimeMs: Number.MAX_SAFE_INTEGER,
        },
      }),
    );

  return {
    get db() {
      return running.database.db;
    },
    get conversations() {
      return running.conversations;
    },
    clock,
    people: createPeople(() => running.database.db),
    log,
    fanout,
    addUsers: (count) => addUsers(running.database.db, count),
    as,
    async createGroup(ownerUserId, userIds) {
      const request = { requestId: newUuid(), title: "A group", userIds: [...userIds] };
      const { conversation } = await as(ownerUserId).createGroup(request);
      return conversation?.conversationId ?? "";
    },
    async restart() {
      await stop();
      running = await boot();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await telemetry[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function addUsers(db: Kysely<Database>, count: number): Promise<string[]> {
  const userIds = Array.from({ length: count }, () => newUuid());
  const rows = userIds.map((userId) => ({
    user_id: userId,
    username: userId,
    display_name: "",
    display_name_folded: "",
    about: "",
    password_hash: null,
    presence_visibility: PresenceVisibility.CONTACTS_AND_GROUPS,
    send_read_receipts: 1,
    searchable: 1,
    create_time_ms: 0,
  }));
  await db.insertInto("users").values(rows).execute();
  return userIds;
}

function createPeople(db: () => Kysely<Database>): FixturePeople {
  return {
    async block(blockerUserId, blockedUserId) {
      const row = { user_id: blockerUserId, blocked_user_id: blockedUserId, create_time_ms: 0 };
      await db().insertInto("blocks").values(row).execute();
    },
    async unblock(blockerUserId, blockedUserId) {
      await db()
        .deleteFrom("blocks")
        .where("user_id", "=", blockerUserId)
        .where("blocked_user_id", "=", blockedUserId)
        .execute();
    },
  };
}

function createMemoryFanout(): MemoryFanout {
  const dispatched: MemoryFanout["dispatched"] = [];
  const unused = () => {
    throw unavailable("UNUSED", "The directory does not call this.");
  };
  const fanout: MemoryFanout = {
    dispatched,
    failing: false,
    routes: [
      defineRoute(FanoutService, {
        dispatchToUsers({ userIds, event }) {
          if (fanout.failing) throw unavailable("DOWN", "The fan-out is down.");
          dispatched.push({ userIds, event: fromBinary(EventSchema, event) });
          return {};
        },
        dispatchBatches: unused,
        dispatchEphemeral: unused,
        dispatchReceipt: unused,
        revokeSessions: unused,
        listInboxHeads: unused,
      }),
    ],
  };
  return fanout;
}

function internalTransport(routes: Routes): Transport {
  return createInProcessTransport({
    routes,
    interceptors: standardInterceptors(silentTelemetry()),
    asCaller: { kind: "internal", service: "directory" },
  });
}
