/** Whose durable deliveries to one gateway were given up, until the gateway knows of it. */
import type { Delivery } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";

/** The contract's bound on the people whom one batch names; above it, it is everybody. About 100 kB. */
export const MISSED_PEOPLE_MAX = 1000;

/** What one batch says of them. */
export type MissedNotice = {
  /** At most MISSED_PEOPLE_MAX; some of them when it is everybody. */
  readonly userIds: readonly string[];
  readonly everybody: boolean;
};

export type MissedPeople = {
  /** Notes the people of a delivery that was given up. Ephemeral events are missed by nobody. */
  add(delivery: Pick<Delivery, "conversationId" | "userIds">): void;
  /** Takes all of it, for a batch; undefined if there is nothing. */
  take(): MissedNotice | undefined;
  /** The batch did not arrive. */
  takeBack(notice: MissedNotice): void;
  readonly userIds: ReadonlySet<string>;
};

/** Creates it with nobody in it. */
export function createMissedPeople(): MissedPeople {
  let missed = new Set<string>();
  let everybody = false;
  const addAll = (userIds: readonly string[]) => {
    for (const userId of userIds) {
      if (missed.size >= MISSED_PEOPLE_MAX && !missed.has(userId)) {
        everybody = true;
        return;
      }
      missed.add(userId);
    }
  };
  return {
    add({ conversationId, userIds }) {
      if (conversationId !== "") addAll(userIds);
    },
    take() {
      if (missed.size === 0) return undefined;
      const notice = { userIds: [...missed], everybody };
      missed = new Set();
      everybody = false;
      return notice;
    },
    takeBack(notice) {
      everybody ||= notice.everybody;
      addAll(notice.userIds);
    },
    get userIds() {
      return missed;
    },
  };
}
