/** The connections of a grpc-js transport. */
import { isIP } from "node:net";
import { Client, connectivityState, credentials } from "@grpc/grpc-js";
import {
  GRPC_FLOW_CONTROL_WINDOW_BYTES,
  GRPC_KEEPALIVE_MS,
  GRPC_KEEPALIVE_TIMEOUT_MS,
  GRPC_MESSAGE_BYTES_MAX,
} from "./grpc-host.ts";

export type GrpcTransportTls = {
  /** PEM; default: the system's authorities. */
  readonly authority?: Buffer;
  /** PEM; what this side shows when the server asks for a certificate. */
  readonly certificate?: Buffer;
  /** PEM. */
  readonly key?: Buffer;
};

export type GrpcChannels = {
  /** The next server in turn; one that cannot be reached at present is passed over while another can. */
  next(): Client;
  close(): void;
};

/** A server that comes back is noticed within 2 s, however long it was away. */
const RECONNECT_MAX_MS = 2000;

/** One channel per address; each spreads its calls over all addresses that its name resolves to. */
export function createGrpcChannels(options: {
  readonly addresses: readonly string[];
  readonly tls?: GrpcTransportTls | undefined;
  readonly messageBytesMax?: number;
}): GrpcChannels {
  if (options.addresses.length === 0) throw new RangeError("at least one address is needed");
  const messageBytesMax = options.messageBytesMax ?? GRPC_MESSAGE_BYTES_MAX;
  const channelOptions = {
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
    "grpc.keepalive_time_ms": GRPC_KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": GRPC_KEEPALIVE_TIMEOUT_MS,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": RECONNECT_MAX_MS,
    "grpc-node.flow_control_window": GRPC_FLOW_CONTROL_WINDOW_BYTES,
    "grpc.service_config_disable_resolution": 1,
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    // Two transports of one process do not share connections, so that closing one never hurts the other.
    "grpc.use_local_subchannel_pool": 1,
  };
  const clients = options.addresses.map(
    (address) => new Client(targetOf(address), channelCredentials(options.tls), channelOptions),
  );
  let turn = 0;
  return {
    next() {
      for (let skipped = 0; skipped < clients.length; skipped++) {
        const client = clients[turn++ % clients.length] as Client;
        const state = client.getChannel().getConnectivityState(false);
        if (state !== connectivityState.TRANSIENT_FAILURE) return client;
      }
      return clients[turn++ % clients.length] as Client;
    },
    close() {
      for (const client of clients) client.close();
    },
  };
}

function channelCredentials(tls: GrpcTransportTls | undefined) {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(tls.authority ?? null, tls.key ?? null, tls.certificate ?? null);
}

/** `host:port` in grpc-js's form; names are resolved by DNS, and again when a connection is lost. */
function targetOf(address: string): string {
  const host = address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  const family = isIP(host);
  return family === 0 ? `dns:///${address}` : `ipv${family}:${address}`;
}
