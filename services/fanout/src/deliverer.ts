/** From people to their gateways: look up, and one delivery per gateway. */
import { create } from "@bufbuild/protobuf";
import {
  type DeliveryEvent,
  DeliveryEventSchema,
  DeliverySchema,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import type { Absentees } from "./absentees.ts";
import type { FanoutMetrics } from "./fanout-metrics.ts";
import type { GatewayLinks } from "./gateway-links.ts";
import type { Located, SessionLocator } from "./session-locator.ts";

/** Events for some people, as the gateways will get them. */
export type Outgoing = {
  /** Empty for ephemeral events. */
  readonly conversationId: string;
  readonly events: readonly DeliveryEvent[];
  /** 1 to 1,000 people. */
  readonly userIds: readonly string[];
};

export type Deliverer = {
  /**
   * Puts the events into the queue of every gateway that holds a session of these people, and resolves
   * then; calls that wait for one another reach each gateway in their order. `handedOver` resolves when
   * every gateway has acknowledged them, or counts as gone.
   */
  deliver(outgoing: Outgoing): Promise<{ readonly handedOver: Promise<void> }>;
  /** The second half of `deliver`, for people who have been located already. */
  hand(outgoing: Outgoing, located: readonly Located[]): Promise<void>;
};

export type DelivererDependencies = {
  readonly locator: Pick<SessionLocator, "locate">;
  readonly links: Pick<GatewayLinks, "get">;
  readonly absentees: Absentees;
  readonly metrics: Pick<FanoutMetrics, "delivered">;
};

/** What a delivery weighs besides its events' bytes and its people's ids, roughly. */
const EVENT_OVERHEAD_BYTES = 128;
const USER_BYTES = 38;

const NOTHING_TO_WAIT_FOR = Promise.resolve();

export function createDeliverer(dependencies: DelivererDependencies): Deliverer {
  const { locator, links, absentees, metrics } = dependencies;

  const hand = ({ conversationId, events, userIds }: Outgoing, located: readonly Located[]) => {
    const reached = countReached(located);
    if (conversationId !== "") absentees.withoutSession(userIds.length - reached);
    if (located.length === 0) return NOTHING_TO_WAIT_FOR;
    const eventBytes = events.reduce(
      (sum, one) => sum + one.event.length + EVENT_OVERHEAD_BYTES,
      0,
    );
    const handedOver = createDeferred<void>();
    let open = located.length;
    const onHandedOver = () => {
      if (--open === 0) handedOver.resolve();
    };
    for (const gateway of located) {
      const people = gateway.userIds;
      const delivery = create(DeliverySchema, {
        conversationId,
        events: events as DeliveryEvent[],
        userIds: people,
      });
      metrics.delivered(events.length * people.length);
      links.get(gateway).deliver(delivery, eventBytes + people.length * USER_BYTES, onHandedOver);
    }
    return handedOver.promise;
  };

  return {
    async deliver(outgoing) {
      const located = await locator.locate(outgoing.userIds);
      return { handedOver: hand(outgoing, located) };
    },
    hand,
  };
}

/** How many different people were found. Almost everybody is on one gateway only. */
function countReached(located: readonly Located[]): number {
  const [first] = located;
  if (first === undefined) return 0;
  if (located.length === 1) return first.userIds.length;
  return new Set(located.flatMap(({ userIds }) => userIds)).size;
}

/** An event that has no place in a conversation. */
export function ephemeralEvent(event: Uint8Array): DeliveryEvent {
  return create(DeliveryEventSchema, { event });
}
