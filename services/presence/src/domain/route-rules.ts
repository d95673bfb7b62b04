/** How long routes of partitions hold. */

/** An instance says so often that it still applies its partitions. */
export const ROUTE_RENEWAL_MS = 2000;

/** Without a renewal for so long a partition has no owner: some lost renewals, and about a group's session. */
export const ROUTE_TTL_MS = 10_000;
