/** The driver, set up: which nodes it asks, for how long, and what its errors mean. */
import { readFileSync } from "node:fs";
import { auth, Client, errors, policies, types } from "cassandra-driver";
import { SettingError } from "../../config.ts";
import type { CassandraConfig } from "./cassandra-config.ts";

/** The cluster did not answer in time, or too few replicas are there. Nothing can be said about a write: repeat it later. */
export class CassandraUnavailableError extends Error {
  override readonly name = "CassandraUnavailableError";
}

/** So many requests wait already that this one was not sent: repeat it later, more slowly. */
export class CassandraOverloadedError extends Error {
  override readonly name = "CassandraOverloadedError";
}

/** The keyspace is missing, or is not as this version knows it. The message says what to do. */
export class CassandraSchemaError extends Error {
  override readonly name = "CassandraSchemaError";
}

export type DriverOptions = {
  /** How this process is called in the nodes' lists of clients. */
  readonly applicationName: string;
  /** Undefined before the keyspace exists. */
  readonly keyspace?: string;
  /** One attempt of one request, in ms. */
  readonly requestTimeoutMs: number;
  /** A read that has no answer yet is sent to a second replica after so many ms. */
  readonly speculationDelayMs: number;
};

const CONNECT_TIMEOUT_MS = 3000;
/** A node that came back is used within this time; the driver's own longest pause is ten minutes. */
const RECONNECT_MIN_MS = 250;
const RECONNECT_MAX_MS = 2000;
/** A connection without answers is noticed although nothing is asked of it. */
const HEARTBEAT_INTERVAL_MS = 5000;
/** Requests of one connection that timed out before it is given up: a network that drops everything costs few. */
const TIMEOUTS_PER_CONNECTION_MAX = 8;
/** Rows of one page. */
const PAGE_ROWS = 1000;
const SCHEMA_AGREEMENT_SECONDS = 20;

/** A driver that has no connection yet. Throws SettingError when the file of the authority cannot be read. */
export function createDriver(config: CassandraConfig, options: DriverOptions): Client {
  const { contactPoints, datacenter, credentials, tlsCaFile } = config;
  const { applicationName, keyspace, requestTimeoutMs, speculationDelayMs } = options;
  return new Client({
    contactPoints: [...contactPoints],
    localDataCenter: datacenter,
    applicationName,
    ...(keyspace === undefined ? {} : { keyspace }),
    ...(credentials === undefined ? {} : { authProvider: plainText(credentials) }),
    ...(tlsCaFile === undefined ? {} : { sslOptions: trusting(tlsCaFile) }),
    policies: {
      // Token-aware, and never another datacenter: its quorum is the one that counts.
      loadBalancing: new policies.loadBalancing.DefaultLoadBalancingPolicy({ localDc: datacenter }),
      // Repeating is the session's work: it knows how long a request may take as a whole.
      retry: new policies.retry.FallthroughRetryPolicy(),
      speculativeExecution: new SpeculativeReads(speculationDelayMs),
      reconnection: new policies.reconnection.ExponentialReconnectionPolicy(
        RECONNECT_MIN_MS,
        RECONNECT_MAX_MS,
      ),
    },
    queryOptions: {
      consistency: types.consistencies.localQuorum,
      serialConsistency: types.consistencies.localSerial,
      prepare: true,
      isIdempotent: true,
      fetchSize: PAGE_ROWS,
    },
    socketOptions: {
      readTimeout: requestTimeoutMs,
      connectTimeout: CONNECT_TIMEOUT_MS,
      defunctReadTimeoutThreshold: TIMEOUTS_PER_CONNECTION_MAX,
      tcpNoDelay: true,
    },
    pooling: { heartBeatInterval: HEARTBEAT_INTERVAL_MS },
    protocolOptions: { maxSchemaAgreementWaitSeconds: SCHEMA_AGREEMENT_SECONDS },
    encoding: { useBigIntAsLong: true, copyBuffer: true },
    monitorReporting: { enabled: false },
  });
}

/** Connects. Rejects with CassandraUnavailableError, CassandraSchemaError or SettingError. */
export async function connectDriver(client: Client, config: CassandraConfig): Promise<void> {
  try {
    await client.connect();
  } catch (error) {
    await client.shutdown();
    throw explainConnect(error, config);
  }
  client.hosts.on("remove", closeRemoved);
}

/**
 * When all nodes were gone, the driver replaces what it knows of the first that is back, and forgets to close what it
 * replaces: that would hold a connection, and keep the process from ending.
 */
function closeRemoved(host: unknown): void {
  const closable = typeof host === "object" && host !== null && "shutdown" in host;
  if (closable && typeof host.shutdown === "function") void host.shutdown(false);
}

function explainConnect(error: unknown, config: CassandraConfig): unknown {
  if (error instanceof errors.ResponseError && error.code === types.responseErrorCodes.invalid) {
    const text = `The keyspace ${config.keyspace} does not exist. Run \`parley migrate\`.`;
    return new CassandraSchemaError(text, { cause: error });
  }
  const inner = error instanceof errors.NoHostAvailableError ? innerErrorsOf(error) : [error];
  for (const cause of inner) {
    if (cause instanceof errors.ArgumentError && /localDataCenter/.test(cause.message)) {
      return new SettingError("PARLEY_CASSANDRA_DATACENTER", cause.message, cause);
    }
    if (cause instanceof errors.AuthenticationError) {
      const text = "The nodes do not take PARLEY_CASSANDRA_USERNAME and its password.";
      return new SettingError("PARLEY_CASSANDRA_USERNAME", text, cause);
    }
  }
  const first = inner[0] instanceof Error ? inner[0].message : String(error);
  const points = config.contactPoints.join(",");
  const text = `No node of PARLEY_CASSANDRA_CONTACT_POINTS=${points} can be reached: ${first}`;
  return new CassandraUnavailableError(text, { cause: error });
}

function innerErrorsOf(error: InstanceType<typeof errors.NoHostAvailableError>): unknown[] {
  return Object.values(error.innerErrors ?? {});
}

/** Errors of the nodes that pass: what they refuse for ever (syntax, rights, what does not exist) is not among them. */
const passing: ReadonlySet<number> = new Set([
  types.responseErrorCodes.serverError,
  types.responseErrorCodes.unavailableException,
  types.responseErrorCodes.overloaded,
  types.responseErrorCodes.isBootstrapping,
  types.responseErrorCodes.truncateError,
  types.responseErrorCodes.writeTimeout,
  types.responseErrorCodes.readTimeout,
  types.responseErrorCodes.readFailure,
  types.responseErrorCodes.writeFailure,
]);

/** Whether the same request may succeed when it is sent again. */
export function isPassing(error: unknown): boolean {
  if (error instanceof errors.ResponseError) return passing.has(error.code);
  if (error instanceof errors.OperationTimedOutError) return true;
  if (error instanceof errors.BusyConnectionError) return true;
  // Each node is away, or its connection is just being opened again.
  if (error instanceof errors.NoHostAvailableError) return true;
  // A socket that broke. The driver marks what the system reports.
  return error instanceof Error && ("isSocketError" in error || "syscall" in error);
}

function plainText(credentials: NonNullable<CassandraConfig["credentials"]>) {
  return new auth.PlainTextAuthProvider(credentials.username, credentials.password);
}

/** The driver takes any certificate unless it is told not to. */
function trusting(caFile: string) {
  try {
    return { ca: readFileSync(caFile), rejectUnauthorized: true };
  } catch (error) {
    const text = `The file ${caFile} cannot be read: ${error instanceof Error ? error.message : error}`;
    throw new SettingError("PARLEY_CASSANDRA_TLS_CA_FILE", text, error);
  }
}

/**
 * Reads that take long are sent once more, to another replica. Writes are not: a replica that is slow with
 * writes is loaded, and a second coordinator would only send it the same again.
 */
export class SpeculativeReads extends policies.speculativeExecution
  .ConstantSpeculativeExecutionPolicy {
  readonly #none = { nextExecution: () => -1 };

  constructor(delayMs: number) {
    super(delayMs, 1);
  }

  override newPlan(keyspace: string, query: string | object[]) {
    const isRead = typeof query === "string" && query.startsWith("SELECT");
    return isRead ? super.newPlan(keyspace, query) : this.#none;
  }
}
