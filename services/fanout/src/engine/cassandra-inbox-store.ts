/** Inboxes on Cassandra or ScyllaDB: the store of many processes. */
import { type Clock, systemClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import type { LogIdentity } from "@parley/platform/log/port";
import {
  type CassandraSession,
  type CassandraStatement,
  type CassandraTuning,
  connectCassandra,
} from "@parley/platform/storage/engine/cassandra";
import {
  CassandraOverloadedError,
  CassandraUnavailableError,
} from "@parley/platform/storage/engine/cassandra-client";
import type { CassandraConfig } from "@parley/platform/storage/engine/cassandra-config";
import { checkCassandraSchema } from "@parley/platform/storage/engine/cassandra-migrations";
import { createRequestSlots } from "@parley/platform/storage/engine/request-slots";
import { type Conversation, NO_MEMBERS } from "../domain/conversation.ts";
import type { InboxItem } from "../domain/inbox-row.ts";
import {
  type InboxPageItem,
  type InboxStore,
  type InboxWrite,
  type LogPlace,
  StoreClosedError,
  type Written,
} from "../ports.ts";
import { type ConversationLanes, createConversationLanes } from "./conversation-lanes.ts";
import { createInboxReader, type InboxReader } from "./inbox-reader.ts";
import { toLogPlace, toMembers, toStoredHead } from "./inbox-values.ts";
import { createLogPlaces, type LogPlaces } from "./log-places.ts";
import { createMembersCache, type MembersCache } from "./members-cache.ts";
import { fanoutSchema } from "./migrations.ts";
import { createPersistence, type Persistence } from "./persistence.ts";
import { createRoundWriter, type RoundWriter } from "./round-writer.ts";

export type CassandraInboxStoreOptions = {
  readonly config: CassandraConfig;
  /** Memberships that are held in memory; about 100 bytes each. */
  readonly membershipsCachedMax: number;
  /** Called when requests begin to fail; they are repeated. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
  /** Called when everything that failed has succeeded. Must not throw. */
  readonly onRecovered?: () => void;
  /** Changes how the cluster is asked; the defaults are meant for every installation. */
  readonly tuning?: Partial<CassandraTuning>;
};

/**
 * Opens the store on a keyspace that was migrated. Rejects with CassandraSchemaError, which names
 * `parley migrate`, when the tables are not those of this version; with CassandraUnavailableError when no node
 * can be reached; with SettingError when a setting does not fit the cluster.
 *
 * What is visible is on the disks of a quorum if the nodes sync before they answer (`commitlog_sync: group` or
 * `batch`), so a write is durable as soon as it is visible. Lists and conversations that cannot be read reject
 * with the reason INBOX_NOT_READABLE; writes, places and the identity wait until they can be made.
 *
 * Disposing writes what waits; a write that then fails is given up.
 */
export async function createCassandraInboxStore(
  options: CassandraInboxStoreOptions,
): Promise<InboxStore> {
  const { config, tuning } = options;
  const session = await connectCassandra({ config, applicationName: "parley fanout", ...tuning });
  try {
    await checkCassandraSchema(session, fanoutSchema());
    return await openStoreOn(session, options);
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

export type StoreOnSessionOptions = Omit<CassandraInboxStoreOptions, "config" | "tuning"> & {
  /** The log's epoch as a number; default 1, because a store never has another log than its first. */
  readonly epochNumber?: number;
  readonly clock?: Pick<Clock, "nowMs">;
};

/** The store on a session with the tables, which it disposes of. */
export async function openStoreOn(
  session: CassandraSession,
  options: StoreOnSessionOptions,
): Promise<InboxStore> {
  const store = new CassandraInboxStore(session, options);
  await store.learnIdentity();
  return store;
}

/** Heads and row changes above which writers are told to hold back: some seconds of a busy cluster, 20 MB. */
const UNWRITTEN_MAX = 50_000;

/** Requests that write at once; as many as the session has room for, so that none waits there and times out. */
const WRITES_AT_ONCE = 256;

const RETRY_AFTER_MS = 2000;

const CLAIM_LOG =
  "INSERT INTO inbox_log (name, epoch, partition_count) VALUES ('log', ?, ?) IF NOT EXISTS";
const SELECT_LOG = "SELECT epoch, partition_count FROM inbox_log WHERE name = 'log'";
const SELECT_PLACE =
  "SELECT replay_offset, heads_end_offset FROM inbox_places WHERE log_partition = ?";
const HEAD_COLUMNS =
  "kind, last_seq, last_message_id, unread_ordinal, log_offset, moved_time_ms, members_version";
const SELECT_HEAD = `SELECT ${HEAD_COLUMNS} FROM inbox_conversations WHERE conversation_id = ?`;
const SELECT_CONVERSATION =
  `SELECT ${HEAD_COLUMNS}, members_changed_seq, present_user_ids, present_first_seqs, ` +
  "departed_user_ids, departed_first_seqs, departed_left_seqs FROM inbox_conversations " +
  "WHERE conversation_id = ?";

const DONE = Promise.resolve();

class CassandraInboxStore implements InboxStore {
  readonly #session: CassandraSession;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #members: MembersCache;
  readonly #persistence: Persistence;
  readonly #places: LogPlaces;
  readonly #rounds: RoundWriter;
  readonly #lanes: ConversationLanes;
  readonly #reader: InboxReader;
  readonly #saving = new Set<Promise<void>>();
  #disposed: Promise<void> | undefined;

  constructor(session: CassandraSession, options: StoreOnSessionOptions) {
    const { epochNumber = 1, clock = systemClock, membershipsCachedMax } = options;
    const { onProblem = () => undefined, onRecovered = () => undefined } = options;
    this.#session = session;
    this.#clock = clock;
    this.#members = createMembersCache(membershipsCachedMax);
    this.#persistence = createPersistence({ onProblem, onRecovered });
    // What may wait is bounded by who calls: each conversation has one round, and `full` holds callers back.
    const waitersMax = Number.POSITIVE_INFINITY;
    const slots = createRequestSlots({ slotsMax: WRITES_AT_ONCE, waitersMax });
    const write = (...statements: readonly CassandraStatement[]) =>
      slots.run(() => session.write(...statements));
    this.#places = createLogPlaces(epochNumber, write);
    this.#rounds = createRoundWriter({
      ...{ epochNumber, write, places: this.#places, members: this.#members },
      nowMs: () => clock.nowMs(),
    });
    this.#lanes = createConversationLanes((round) =>
      this.#persistence.untilDone(() => this.#rounds.write(round)),
    );
    this.#reader = createInboxReader({ read: (...query) => this.#read(...query) });
  }

  /** Rejects when the log that is kept cannot be read. */
  async learnIdentity(): Promise<LogIdentity | undefined> {
    const [row] = await this.#session.read(SELECT_LOG, []);
    if (row === undefined) return undefined;
    const identity = { epoch: String(row.epoch), partitionCount: Number(row.partition_count) };
    this.#rounds.partitionCount = identity.partitionCount;
    return identity;
  }

  readIdentity(): Promise<LogIdentity | undefined> {
    return this.#persistence.untilDone(() => this.learnIdentity());
  }

  async writeIdentity({ epoch, partitionCount }: LogIdentity): Promise<void> {
    // Of two instances that begin at once one keeps its log; the other finds that when it reads.
    const claim = { query: CLAIM_LOG, params: [epoch, partitionCount] };
    await this.#persistence.untilDone(() => this.#session.writeIfAbsent(claim));
    await this.readIdentity();
  }

  async readPlace(partition: number): Promise<LogPlace | undefined> {
    const [row] = await this.#persistence.untilDone(() =>
      this.#session.read(SELECT_PLACE, [partition]),
    );
    return toLogPlace(row);
  }

  saveReplayOffset(partition: number, replayOffset: number): Promise<void> {
    if (this.#disposed !== undefined) return closed();
    const saving = this.#persistence.untilDone(() =>
      this.#places.raiseReplay(partition, replayOffset),
    );
    const settled = saving.catch(() => undefined).finally(() => this.#saving.delete(settled));
    this.#saving.add(settled);
    return saving;
  }

  get full(): boolean {
    // While requests fail, writers wait for as long as that takes.
    return this.#persistence.failing || this.#lanes.unwritten > UNWRITTEN_MAX;
  }

  /**
   * Members are mostly known, and are read only when the version that is stored is another one: so what another
   * instance has changed meanwhile is seen as well.
   */
  async readConversation(conversationId: string): Promise<Conversation | undefined> {
    const [row] = await this.#read(SELECT_HEAD, [conversationId]);
    const stored = toStoredHead(row);
    if (stored === undefined) return undefined;
    const { kind, head, membersVersion } = stored;
    if (membersVersion === undefined) return { conversationId, kind, head, members: NO_MEMBERS };
    const known = this.#members.get(conversationId, membersVersion);
    if (known !== undefined) return { conversationId, kind, head, members: known };
    return await this.#readWhole(conversationId);
  }

  write(write: InboxWrite): Written {
    if (this.#disposed !== undefined) return { visible: DONE, durable: closed() };
    const durable = this.#lanes.write(write);
    // Whoever does not wait for it need not handle its rejection either.
    const visible = durable.catch(() => undefined);
    return { visible, durable };
  }

  listByConversation(
    userId: string,
    afterConversationId: string,
    limit: number,
  ): Promise<readonly InboxItem[]> {
    return this.#reader.listByConversation(userId, afterConversationId, limit);
  }

  listByNewest(
    userId: string,
    pageToken: string,
    limit: number,
  ): Promise<readonly InboxPageItem[]> {
    return this.#reader.listByNewest(userId, pageToken, limit, this.#clock.nowMs());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    this.#persistence.close();
    await this.#lanes.idle();
    await Promise.all(this.#saving);
    await this.#session[Symbol.asyncDispose]();
  }

  async #readWhole(conversationId: string): Promise<Conversation | undefined> {
    const [row] = await this.#read(SELECT_CONVERSATION, [conversationId]);
    const stored = toStoredHead(row);
    if (row === undefined || stored === undefined) return undefined;
    const members = toMembers(row);
    this.#members.set(conversationId, members);
    return { conversationId, kind: stored.kind, head: stored.head, members };
  }

  /** Callers repeat what could not be read. */
  async #read(...query: Parameters<CassandraSession["read"]>) {
    try {
      return await this.#session.read(...query);
    } catch (error) {
      const passing =
        error instanceof CassandraUnavailableError || error instanceof CassandraOverloadedError;
      throw passing ? notReadable(error) : error;
    }
  }
}

function notReadable(cause: unknown): Error {
  const text = "The inboxes cannot be read at the moment.";
  return unavailable("INBOX_NOT_READABLE", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}

function closed(): Promise<never> {
  const rejected = Promise.reject(new StoreClosedError("The inbox store is closed."));
  // Whoever does not wait for it need not handle its rejection either.
  rejected.catch(() => undefined);
  return rejected;
}
