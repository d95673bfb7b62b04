/** Requests to Cassandra or ScyllaDB: bounded, repeated when that helps, and ended in time. */
import type { Client, types } from "cassandra-driver";
import { createBackoff } from "../../async/backoff.ts";
import { sleep } from "../../async/sleep.ts";
import { type Clock, systemClock } from "../../clock.ts";
import {
  CassandraOverloadedError,
  CassandraUnavailableError,
  connectDriver,
  createDriver,
  isPassing,
} from "./cassandra-client.ts";
import type { CassandraConfig } from "./cassandra-config.ts";
import { createRequestSlots, type RequestSlots, RequestSlotsError } from "./request-slots.ts";

/** `bigint` and `counter` columns are bigints, `int` numbers, `timestamp` Dates, `blob` Buffers, `uuid` texts or Uuids. */
export type CassandraValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | Buffer
  | null
  | readonly CassandraValue[];

/** A statement of CQL with `?` for its values. Prepared once: build the text from nothing but constants. */
export type CassandraStatement = {
  readonly query: string;
  readonly params: readonly CassandraValue[];
};

export type CassandraRow = Readonly<Record<string, unknown>>;

/**
 * A connection to the cluster. Reads and writes are those of a local quorum. **Every statement must be
 * idempotent**: it is repeated when it has no answer, and may take effect after it was given up. Requests
 * reject with CassandraUnavailableError when there was no answer within the operation timeout, and with
 * CassandraOverloadedError when too many wait; other errors are bugs.
 */
export interface CassandraSession extends AsyncDisposable {
  readonly keyspace: string;
  /** All rows, page by page. The query begins with SELECT; give it a LIMIT where the partition is not small. */
  read(query: string, params: readonly CassandraValue[]): Promise<readonly CassandraRow[]>;
  /** Writes. Several statements must be of one partition: they take effect together or not at all. */
  write(...statements: readonly CassandraStatement[]): Promise<void>;
  /**
   * An INSERT … IF NOT EXISTS: consensus, four times the cost of a write. What was there before, undefined if
   * nothing was. When an attempt had no answer, what was there may be what this very call wrote.
   */
  writeIfAbsent(statement: CassandraStatement): Promise<CassandraRow | undefined>;
}

export type CassandraTuning = {
  /** One attempt, in ms. More than the nodes' own limit for writes (2 s), so that their answer is the usual one. */
  readonly requestTimeoutMs: number;
  /** All attempts of a request, and its wait for a slot, in ms. */
  readonly operationTimeoutMs: number;
  readonly attemptsMax: number;
  /** Requests under way at once, for reads and for writes each. */
  readonly requestsMax: number;
  /** Requests that may wait for a slot, for reads and for writes each. */
  readonly waitingMax: number;
  /** A read without an answer goes to a second replica after this, in ms: above what is usual, below what is felt. */
  readonly speculationDelayMs: number;
  readonly clock: Clock;
};

const defaults: CassandraTuning = {
  requestTimeoutMs: 3500,
  operationTimeoutMs: 12_000,
  attemptsMax: 3,
  requestsMax: 256, // One small node is busy with 100; a connection takes 2,048.
  waitingMax: 8192, // Half a second of what one process sends at most.
  speculationDelayMs: 150,
  clock: systemClock,
};

/** Between attempts: a node that restarts or a leader that pauses is away for longer than an instant. */
const RETRY_PAUSE = { initialMs: 100, maxMs: 500 };

export type CassandraSessionOptions = {
  readonly config: CassandraConfig;
  /** How this process is called in the nodes' lists of clients. */
  readonly applicationName: string;
} & Partial<CassandraTuning>;

/**
 * Connects to the configured keyspace. Rejects with CassandraUnavailableError when no node can be reached,
 * CassandraSchemaError when there is no such keyspace, SettingError when a setting does not fit the cluster.
 */
export async function connectCassandra(
  options: CassandraSessionOptions,
): Promise<CassandraSession> {
  const { config, applicationName, ...tuning } = options;
  const settings = { ...defaults, ...tuning };
  const { keyspace } = config;
  const client = createDriver(config, { applicationName, keyspace, ...settings });
  await connectDriver(client, config);
  return new Session(client, keyspace, settings);
}

class Session implements CassandraSession {
  readonly keyspace: string;
  readonly #client: Client;
  readonly #settings: CassandraTuning;
  readonly #reads: RequestSlots;
  readonly #writes: RequestSlots;
  readonly #closing = new AbortController();

  constructor(client: Client, keyspace: string, settings: CassandraTuning) {
    this.#client = client;
    this.keyspace = keyspace;
    this.#settings = settings;
    const slots = { slotsMax: settings.requestsMax, waitersMax: settings.waitingMax };
    // Apart, so that many readers never keep the log's consumer from writing.
    this.#reads = createRequestSlots(slots);
    this.#writes = createRequestSlots(slots);
  }

  async read(query: string, params: readonly CassandraValue[]): Promise<readonly CassandraRow[]> {
    const rows: CassandraRow[] = [];
    let pageState: string | undefined;
    do {
      const page = await this.#run(this.#reads, () =>
        this.#client.execute(query, [...params], pageState === undefined ? {} : { pageState }),
      );
      rows.push(...page.rows);
      pageState = page.pageState ?? undefined;
    } while (pageState !== undefined);
    return rows;
  }

  async write(...statements: readonly CassandraStatement[]): Promise<void> {
    const [first] = statements;
    if (first === undefined) return;
    await this.#run(this.#writes, () =>
      statements.length === 1
        ? this.#client.execute(first.query, [...first.params])
        : this.#client.batch(statements.map(toQuery), { logged: false }),
    );
  }

  async writeIfAbsent(statement: CassandraStatement): Promise<CassandraRow | undefined> {
    const result = await this.#run(this.#writes, () =>
      this.#client.execute(statement.query, [...statement.params]),
    );
    return result.wasApplied() ? undefined : result.first();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new CassandraUnavailableError("The connection to Cassandra was closed."));
    await this.#client.shutdown();
  }

  /** Sends, and sends again what may succeed then, until the operation's time is over. */
  async #run(slots: RequestSlots, send: () => Promise<types.ResultSet>): Promise<types.ResultSet> {
    const { clock, operationTimeoutMs } = this.#settings;
    const endMs = clock.monotoneMs() + operationTimeoutMs;
    try {
      return await slots.run(() => this.#attempt(send, endMs));
    } catch (error) {
      if (error instanceof RequestSlotsError) {
        throw new CassandraOverloadedError(error.message, { cause: error });
      }
      throw error;
    }
  }

  async #attempt(send: () => Promise<types.ResultSet>, endMs: number): Promise<types.ResultSet> {
    const { clock, requestTimeoutMs, attemptsMax } = this.#settings;
    const { signal } = this.#closing;
    const backoff = createBackoff(RETRY_PAUSE);
    let cause: unknown;
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      signal.throwIfAborted();
      // Nobody waits any more for an attempt that would end behind the operation.
      if (clock.monotoneMs() + requestTimeoutMs > endMs) break;
      try {
        return await send();
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        cause = error;
      }
      if (attempt + 1 < attemptsMax) await sleep(backoff.next(), signal);
    }
    const why = cause instanceof Error ? cause.message : "it waited too long for its turn";
    throw new CassandraUnavailableError(`Cassandra did not answer: ${why}`, { cause });
  }
}

function toQuery({ query, params }: CassandraStatement) {
  return { query, params: [...params] };
}
