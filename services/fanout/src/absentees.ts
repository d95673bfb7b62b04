/**
 * People whom an event did not reach live. This is where a notification for them begins: whatever learns of
 * an absence comes through here, with its cause, and today it is counted.
 */
import type { Delivery } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import type { FanoutMetrics } from "./fanout-metrics.ts";

export type Absentees = {
  /** So many of a batch's people had no registered session. */
  withoutSession(count: number): void;
  /** These had left their gateway when the batch came. */
  onLeft(userIds: readonly string[]): void;
  /** A gateway did not take this in time; its people count as having no live session. */
  onGivenUp(delivery: Delivery): void;
};

export function createAbsentees(metrics: Pick<FanoutMetrics, "absent">): Absentees {
  return {
    withoutSession(count) {
      if (count > 0) metrics.absent("no_session", count);
    },
    onLeft: (userIds) => metrics.absent("left_gateway", userIds.length),
    onGivenUp({ conversationId, userIds }) {
      // Who misses that somebody is typing misses nothing.
      if (conversationId !== "") metrics.absent("given_up", userIds.length);
    },
  };
}
