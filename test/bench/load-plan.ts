/** What the benchmark asks of the load process, and what it gets back. Plain JSON over the process's IPC channel. */
import type { Summary } from "./statistics.ts";

export type DirectPlan = {
  readonly kind: "direct";
  readonly port: number;
  readonly pairs: readonly { sender: string; receiver: string; conversationId: string }[];
  /** Messages per second over all pairs; 0 for a closed loop, in which each sender waits for its ack. */
  readonly ratePerSecond: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly payloadBytes: number;
};

export type GroupPlan = {
  readonly kind: "group";
  readonly port: number;
  /** One access token per member; each gets one session. */
  readonly members: readonly string[];
  readonly senders: number;
  readonly conversationId: string;
  /** Messages that each sender keeps unacknowledged. */
  readonly window: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly payloadBytes: number;
};

export type IdlePlan = {
  readonly kind: "idle";
  readonly port: number;
  /** One session per token. */
  readonly tokens: readonly string[];
};

export type LoadPlan = DirectPlan | GroupPlan | IdlePlan | { readonly kind: "release" };

export type DirectResult = {
  readonly acked: number;
  readonly delivered: number;
  readonly seconds: number;
  readonly ackMs: Summary;
  readonly deliveryMs: Summary;
  readonly lost: number;
  readonly outOfOrder: number;
  readonly refused: number;
};

export type GroupResult = {
  readonly acked: number;
  readonly deliveries: number;
  readonly seconds: number;
  readonly ackMs: Summary;
  readonly lost: number;
  readonly outOfOrder: number;
  readonly refused: number;
};

export type IdleResult = { readonly open: number; readonly closed: number };

/** Sent by the load process when its measured window begins, so that the server's CPU is read there. */
export type LoadEvent =
  | { readonly event: "window-begins" }
  | { readonly event: "window-ends" }
  | { readonly event: "result"; readonly result: DirectResult | GroupResult | IdleResult }
  | { readonly event: "failed"; readonly reason: string };
