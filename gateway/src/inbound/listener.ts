/**
 * The one port. Without TLS the first bytes of a connection say whether it is HTTP/2 (gRPC, Connect) or
 * HTTP/1.1 (WebSocket, Connect, gRPC-Web, pages); with TLS the client has chosen by ALPN.
 */
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { sleep } from "@parley/platform/async/sleep";
import type { EdgeHandler } from "@parley/platform/rpc/edge-host";
import type { Connections } from "./connections.ts";
import { sniff } from "./first-bytes.ts";
import { explainListenError } from "./listen-error.ts";
import { HEADER_BYTES_MAX } from "./request-handler.ts";

export type ListenerOptions = {
  /** Where to listen; every address if undefined. */
  readonly host: string | undefined;
  readonly port: number;
  /** PEM texts; without them the port speaks plain text. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  readonly connections: Connections;
  readonly onRequest: EdgeHandler;
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly onRefused: () => void;
};

export type Listener = AsyncDisposable & {
  /** Rejects with a `SettingError` when the port or the address cannot be had. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Takes no new connection; those that are open go on. */
  stop(): void;
  /** Resolves when every connection has finished its work and is closed, or when the signal aborts. */
  drain(signal: AbortSignal): Promise<void>;
};

/** A client that connects and says nothing, or sends its header byte by byte, holds a socket this long. */
const FIRST_BYTES_MS_MAX = 10_000;
const HEADERS_MS_MAX = 10_000;
/** A whole HTTP/1.1 request with its body. */
const REQUEST_MS_MAX = 60_000;
/** Longer than the keep-alive of common proxies (60 s), so that the proxy closes first. */
const KEEP_ALIVE_MS = 65_000;
const TIMEOUT_CHECK_MS = 2000;
/** How often a draining port looks for connections that have become idle. */
const DRAIN_CHECK_MS = 20;
const HEADERS_MAX = 100;
/** Streams of one HTTP/2 connection at a time: a client of many sessions and calls. */
const STREAMS_MAX = 250;
/** Of one HTTP/2 connection, in MB. */
const SESSION_MEMORY_MB_MAX = 16;
/** A connection without any stream. */
const HTTP2_IDLE_MS_MAX = 120_000;
/** Streams that a client may open and reset at once, and then per second (CVE-2023-44487). */
const RESET_BURST_MAX = 200;
const RESETS_PER_SECOND_MAX = 50;

const REFUSAL = Buffer.from(
  "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
);

export function createListener(options: ListenerOptions): Listener {
  const http1 = createHttp1(options);
  const http2 = createHttp2(options);
  const sessions = new Set<ServerHttp2Session>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.setTimeout(HTTP2_IDLE_MS_MAX, () => session.close());
  });
  const server =
    options.tls === undefined
      ? createPlain(options, http1, http2)
      : createTls(options, http1, http2);
  const { connections } = options;

  return {
    async listen() {
      const { port, host } = options;
      server.listen({ port, host, backlog: 1024 });
      try {
        await once(server, "listening");
      } catch (error) {
        throw explainListenError(error, host, port);
      }
      // Node checks the times of HTTP/1.1 requests only on a server that believes it listens.
      http1.emit("listening");
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("not a TCP address");
      return { host: address.address, port: address.port };
    },
    stop() {
      if (server.listening) server.close();
    },
    async drain(signal) {
      for (const session of sessions) session.close();
      while (connections.size > 0 && !signal.aborted) {
        http1.closeIdleConnections();
        await sleep(DRAIN_CHECK_MS, signal).catch(() => undefined);
      }
    },
    async [Symbol.asyncDispose]() {
      const closed = server.listening ? once(server, "close") : undefined;
      if (server.listening) server.close();
      http1.close(() => undefined);
      for (const session of sessions) session.destroy();
      for (const socket of connections.all()) socket.destroy();
      await closed;
    },
  };
}

function createHttp1({ onRequest, onUpgrade }: ListenerOptions): Server {
  const server = createHttpServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    onRequest,
  );
  server.maxHeadersCount = HEADERS_MAX;
  server.on("upgrade", onUpgrade);
  return server;
}

function createHttp2({ onRequest }: ListenerOptions): Http2Server {
  const server = createHttp2Server(
    {
      settings: { maxConcurrentStreams: STREAMS_MAX, maxHeaderListSize: HEADER_BYTES_MAX },
      maxSessionMemory: SESSION_MEMORY_MB_MAX,
      maxHeaderListPairs: HEADERS_MAX,
      streamResetBurst: RESET_BURST_MAX,
      streamResetRate: RESETS_PER_SECOND_MAX,
      unknownProtocolTimeout: FIRST_BYTES_MS_MAX,
    },
    onRequest,
  );
  // A client's nonsense ends its own session; nothing is left to do about it.
  server.on("sessionError", () => undefined);
  return server;
}

function createPlain(options: ListenerOptions, http1: Server, http2: Http2Server): NetServer {
  return createNetServer({ noDelay: true, pauseOnConnect: false }, (socket) => {
    if (!admit(options, socket)) return;
    let first: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTES_MS_MAX);
    const stop = () => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("close", stop);
      socket.off("error", ignore);
    };
    const onData = (chunk: Buffer) => {
      first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
      const protocol = sniff(first);
      if (protocol === "undecided") return;
      stop();
      socket.pause();
      socket.unshift(first);
      if (protocol === "http2") {
        http2.emit("connection", socket);
        return;
      }
      http1.emit("connection", socket);
      // The parser listens now; an HTTP/2 session takes what was put back by itself.
      queueMicrotask(() => socket.resume());
    };
    socket.on("data", onData);
    socket.on("close", stop);
    socket.on("error", ignore);
  });
}

function createTls(options: ListenerOptions, http1: Server, http2: Http2Server): NetServer {
  const server = createTlsServer(
    {
      cert: options.tls?.certificate,
      key: options.tls?.key,
      ALPNProtocols: ["h2", "http/1.1"],
      minVersion: "TLSv1.2",
      handshakeTimeout: FIRST_BYTES_MS_MAX,
    },
    (socket: TLSSocket) => {
      (socket.alpnProtocol === "h2" ? http2 : http1).emit("connection", socket);
    },
  );
  server.on("connection", (socket: Socket) => {
    socket.setNoDelay(true);
    if (!options.connections.admit(socket)) {
      options.onRefused();
      socket.destroy();
    }
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return server;
}

function admit(options: ListenerOptions, socket: Socket): boolean {
  if (options.connections.admit(socket)) return true;
  options.onRefused();
  socket.on("error", ignore);
  socket.end(REFUSAL, () => socket.destroy());
  return false;
}

const ignore = () => undefined;
