/** What a client is made of, and what it falls back to. */
import type { Interceptor } from "@connectrpc/connect";
import { DevicePlatform } from "@parley/gen/parley/account/v1/account_pb";
import type { RandomSource } from "./ids.ts";
import type { Fetch } from "./rpc/service-client.ts";
import type { RoadName } from "./session/road.ts";
import type { WebSocketConstructor } from "./session/websocket-road.ts";
import type { ClientStorage } from "./storage/client-storage.ts";
import { createMemoryStorage } from "./storage/memory-storage.ts";
import { defaultTiming, type Timing } from "./timing.ts";

export type DeviceOptions = {
  /** The name shown in the device list, 1 to 64 characters. */
  readonly name?: string;
  readonly platform?: DevicePlatform;
};

export type ClientOptions = {
  /** Where the server is, for example `https://chat.example.org`. */
  readonly url: string;
  /** Where tokens, positions, entries and the outbox are kept; in memory if left out. Closed with the client. */
  readonly storage?: ClientStorage | undefined;
  /** `auto` tries WebSocket, Connect stream and long poll, in this order; anything else stays with that road. */
  readonly transport?: "auto" | RoadName | undefined;
  /** How this device calls itself at sign-up and sign-in. */
  readonly device?: DeviceOptions | undefined;
  /** For every HTTP request; the global one if left out. */
  readonly fetch?: Fetch | undefined;
  /** The global one if left out. Node 20 has none: give it the `ws` package's, or another road is taken. */
  readonly webSocket?: WebSocketConstructor | undefined;
  /** Random bytes for identifiers; the global `crypto` if left out. */
  readonly crypto?: RandomSource | undefined;
  /** The clock, in ms since 1970. */
  readonly now?: (() => number) | undefined;
  /** Uniform in [0, 1), for jitter. */
  readonly random?: (() => number) | undefined;
  /** Replaces some of the waits. */
  readonly timing?: Partial<Timing> | undefined;
  /** Newest entries that catch-up brings of a conversation that is new to the device or far behind; default 50. */
  readonly catchUpMessagesMax?: number | undefined;
  /** Seen by every call, for example to add tracing headers. */
  readonly interceptors?: readonly Interceptor[] | undefined;
};

export type ResolvedOptions = {
  readonly url: string;
  readonly storage: ClientStorage;
  readonly roads: readonly RoadName[];
  readonly device: { readonly name: string; readonly platform: DevicePlatform };
  readonly fetch: Fetch | undefined;
  readonly webSocket: WebSocketConstructor | undefined;
  readonly crypto: RandomSource;
  readonly now: () => number;
  readonly random: () => number;
  readonly timing: Timing;
  readonly catchUpMessagesMax: number;
  readonly interceptors: readonly Interceptor[];
};

/** @throws RangeError for an address that is not http or https, or a WebSocket asked for where there is none. */
export function resolveOptions(options: ClientOptions): ResolvedOptions {
  const url = new URL(options.url);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new RangeError(`${options.url} is not an http or https address.`);
  }
  const webSocket = options.webSocket ?? globalWebSocket();
  const browser = "document" in globalThis;
  return {
    url: `${url.origin}${url.pathname.replace(/\/+$/, "")}`,
    storage: options.storage ?? createMemoryStorage(),
    roads: roadsOf(options.transport ?? "auto", webSocket !== undefined),
    device: {
      name: options.device?.name ?? (browser ? "Browser" : "Node"),
      platform:
        options.device?.platform ?? (browser ? DevicePlatform.BROWSER : DevicePlatform.NODE),
    },
    fetch: options.fetch,
    webSocket,
    crypto: options.crypto ?? globalThis.crypto,
    now: options.now ?? Date.now,
    random: options.random ?? Math.random,
    timing: { ...defaultTiming, ...options.timing },
    catchUpMessagesMax: options.catchUpMessagesMax ?? 0,
    interceptors: options.interceptors ?? [],
  };
}

function globalWebSocket(): WebSocketConstructor | undefined {
  return typeof globalThis.WebSocket === "function" ? globalThis.WebSocket : undefined;
}

function roadsOf(transport: "auto" | RoadName, webSocket: boolean): readonly RoadName[] {
  if (transport === "websocket" && !webSocket) {
    throw new RangeError("There is no WebSocket here; pass one as `webSocket`.");
  }
  if (transport !== "auto") return [transport];
  return webSocket ? ["websocket", "connect", "long-poll"] : ["connect", "long-poll"];
}
