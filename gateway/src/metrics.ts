/** What the gateway counts. */
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { Metrics } from "@parley/platform/telemetry/metrics";

export type GatewayMetrics = {
  /** Frames and bytes that one turn of the event loop handed to WebSockets. */
  onWritten(frames: number, bytes: number): void;
  onFrame(bytes: number): void;
  onRefused(reason: string): void;
  onGoodbye(reason: GoodbyeReason): void;
  onCatchUpEntries(count: number): void;
  onConnectionRefused(): void;
};

export type GatewayFigures = {
  readonly sessions: () => number;
  readonly connections: () => number;
  readonly watched: () => number;
  readonly sendsInFlight: () => number;
};

const REASON_NAMES = new Map<number, string>(
  Object.entries(GoodbyeReason).map(([name, reason]) => [reason, name.toLowerCase()]),
);

export function createGatewayMetrics(metrics: Metrics, figures: GatewayFigures): GatewayMetrics {
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge(name, help, [], (gauge) => gauge.set(read()));
  gauge("parley_gateway_sessions", "Live sessions.", figures.sessions);
  gauge("parley_gateway_connections", "Open connections of any kind.", figures.connections);
  gauge("parley_gateway_watched_people", "People whose presence is watched.", figures.watched);
  gauge("parley_gateway_sends_in_flight", "Sends without an answer.", figures.sendsInFlight);

  const frames = metrics.counter(
    "parley_gateway_frames_total",
    "Frames of WebSockets by direction.",
    ["direction"],
  );
  const bytes = metrics.counter(
    "parley_gateway_bytes_total",
    "Bytes of WebSocket frames by direction.",
    ["direction"],
  );
  const refused = metrics.counter(
    "parley_gateway_refused_frames_total",
    "Client frames that were refused, by reason.",
    ["reason"],
  );
  const goodbyes = metrics.counter(
    "parley_gateway_goodbyes_total",
    "Sessions that the gateway ended, by reason; slow_consumer are those that did not read.",
    ["reason"],
  );
  const entries = metrics.counter(
    "parley_gateway_catch_up_entries_total",
    "Entries that were read again for sessions that had missed them.",
  );
  const connectionsRefused = metrics.counter(
    "parley_gateway_connections_refused_total",
    "Connections above a limit.",
  );
  const framesIn = frames.labels({ direction: "in" });
  const framesOut = frames.labels({ direction: "out" });
  const bytesIn = bytes.labels({ direction: "in" });
  const bytesOut = bytes.labels({ direction: "out" });
  return {
    onWritten(frameCount, byteCount) {
      framesOut.inc(frameCount);
      bytesOut.inc(byteCount);
    },
    onFrame(byteCount) {
      framesIn.inc();
      bytesIn.inc(byteCount);
    },
    onRefused: (reason) => refused.labels({ reason }).inc(),
    onGoodbye: (reason) => goodbyes.labels({ reason: REASON_NAMES.get(reason) ?? "unknown" }).inc(),
    onCatchUpEntries: (count) => entries.inc(count),
    onConnectionRefused: () => connectionsRefused.inc(),
  };
}
