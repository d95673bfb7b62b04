/** Connections to the brokers. */
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import kafkajs, { type ISocketFactory, type Kafka, type RetryOptions } from "kafkajs";
import type { KafkaLogSettings } from "./options.ts";

/** How long a broker may take to accept a connection. */
const CONNECTION_TIMEOUT_MS = 3000;

/** The sockets are kept alive, so that a broker that vanished is noticed. */
const KEEP_ALIVE_MS = 30_000;

/**
 * A request is repeated for a few seconds, while brokers elect another leader. Whoever called then learns that
 * the outcome is unknown, and repeats it.
 */
export const REQUEST_RETRY: RetryOptions = {
  initialRetryTime: 50,
  maxRetryTime: 1000,
  retries: 6,
};

/** A client that has no connection yet. */
export function createKafka(settings: KafkaLogSettings): Kafka {
  const { brokers, clientId, requestTimeoutMs, tls, sasl } = settings;
  return new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    retry: REQUEST_RETRY,
    socketFactory: createPromptSocket,
    // Everything that an operator should know reaches them through `onProblem`, once and with its meaning.
    logLevel: kafkajs.logLevel.NOTHING,
    ...(tls === undefined ? {} : { ssl: tls }),
    ...(sasl === undefined ? {} : { sasl }),
  });
}

/**
 * Sockets without Nagle's algorithm. With it each small request waits for the acknowledgement of the one
 * before, and a record takes 44 ms instead of 2.
 */
const createPromptSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const socket: Socket = ssl
    ? connectTls({ host, port, servername: host, ...ssl }, onConnect)
    : connectPlain({ host, port }, onConnect);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
};
