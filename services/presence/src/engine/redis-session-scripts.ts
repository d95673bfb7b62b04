/** The session registry's scripts as typed calls. What each does stands in its file under lua/. */

import { readScripts } from "@parley/platform/storage/engine/lua";
import type { RedisCommand, RedisConnection } from "@parley/platform/storage/engine/redis";
import {
  LAST_SEEN_INTERVAL_MS,
  OFFLINE_AFTER_MS,
  type PresenceStatus,
} from "../domain/presence-rules.ts";
import type { Gateway, SessionRegistration } from "../ports.ts";
import type { RedisKeys } from "./redis-keys.ts";

/** A key that nobody touches for so long is gone: long enough that a sweep always comes first. */
const KEY_LIFE_MS = 10 * OFFLINE_AFTER_MS;

/**
 * Nobody swept for so long: sessions that were silent meanwhile may have had nobody to be heard by. Two
 * heartbeats: one that came just before leaves four more chances before the session would be over.
 */
const SWEEP_GAP_MS = 10_000;

/** Entries of one script, which nothing else in its server runs beside: about 2 ms. */
export const ENTRIES_PER_SCRIPT_MAX = 250;

/** One of the two moments of a person. */
export type Change = {
  /** Greater than that of every earlier change and read of the person's shard. */
  readonly change: number;
  readonly userId: string;
  readonly status: PresenceStatus;
  /** When the person was last heard from, in ms; only when they went offline. */
  readonly heardTimeMs: number | undefined;
};

export type SessionOfPerson = { readonly userId: string; readonly sessionId: string };
export type Counts = { readonly sessions: number; readonly onlineUsers: number };

export type RecordReply = {
  readonly newSessionIds: readonly string[];
  readonly leftOutSessionIds: readonly string[];
  readonly changes: readonly Change[];
  readonly counts: Counts;
};

export type TakeOutReply = {
  readonly taken: readonly { readonly gatewayId: string; readonly sessionId: string }[];
  readonly changes: readonly Change[];
  readonly counts: Counts;
};

export type SweepReply = {
  /** Whether absent people are unknown at present. */
  readonly unknown: boolean;
  readonly over: readonly SessionOfPerson[];
  readonly dueUserIds: readonly string[];
  readonly counts: Counts;
};

export type ReadReply = {
  readonly change: number;
  readonly unknown: boolean;
  readonly statuses: readonly PresenceStatus[];
};

/** A session with the name of the call that registers it. */
export type NamedRegistration = SessionRegistration & { readonly call: string };

const directory = new URL("./lua/", import.meta.url);
const NAMES = {
  presenceRecord: ["shard", "record"],
  presenceTakeOut: ["shard", "take-out"],
  presenceSweep: ["shard", "sweep"],
  presenceRead: ["shard", "read"],
  presenceLookUp: ["look-up"],
  presenceGatewaySessions: ["gateway-sessions"],
  presenceGateways: ["gateways"],
} as const;

export type ScriptOptions = {
  readonly connection: RedisConnection;
  readonly keys: RedisKeys;
  /** Whether a shard that is not there was lost, and is not the first of its installation. */
  readonly isLoss: (shard: number) => boolean;
  /** The time of the engine, in ms; undefined for the engine's own. Others are for tests alone. */
  readonly engineTimeMs: (() => number) | undefined;
};

export type SessionScripts = ReturnType<typeof createSessionScripts>;

export function createSessionScripts(options: ScriptOptions) {
  const { connection, keys, isLoss, engineTimeMs } = options;
  connection.define(readScripts(directory, NAMES));
  const time = () => (engineTimeMs === undefined ? "" : Math.floor(engineTimeMs()));

  const onShard = (
    name: keyof typeof NAMES,
    shard: number,
    userIds: readonly string[],
    rest: readonly (string | number)[],
  ): RedisCommand => {
    const own = keys.shard[shard] ?? [];
    return [
      ...[name, own.length + userIds.length, ...own],
      ...userIds.map((userId) => keys.person(shard, userId)),
      ...[time(), isLoss(shard) ? "1" : "0", OFFLINE_AFTER_MS, KEY_LIFE_MS],
      ...[connection.publishCommand, keys.channelPrefix(shard), ...rest],
    ] as unknown as RedisCommand;
  };

  return {
    record: (
      shard: number,
      { gatewayId, gatewayAddress }: Gateway,
      sessions: readonly NamedRegistration[],
      mode: "add" | "renew",
    ) =>
      onShard(
        "presenceRecord",
        shard,
        sessions.map(({ userId }) => userId),
        [
          ...[mode, gatewayId, gatewayAddress, LAST_SEEN_INTERVAL_MS],
          ...sessions.flatMap(({ userId, sessionId, ageMs, call }) => [
            ...[userId, sessionId, Math.floor(ageMs), call],
          ]),
        ],
      ),
    /** `gatewayId` is who says so; undefined takes out what is over. */
    takeOut: (shard: number, gatewayId: string | undefined, sessions: readonly SessionOfPerson[]) =>
      onShard(
        "presenceTakeOut",
        shard,
        sessions.map(({ userId }) => userId),
        [gatewayId ?? "", ...sessions.flatMap(({ userId, sessionId }) => [userId, sessionId])],
      ),
    sweep: (shard: number) =>
      onShard(
        "presenceSweep",
        shard,
        [],
        [SWEEP_GAP_MS, ENTRIES_PER_SCRIPT_MAX, LAST_SEEN_INTERVAL_MS],
      ),
    read: (shard: number, userIds: readonly string[]) =>
      onShard("presenceRead", shard, userIds, userIds),
    lookUp: (shard: number, userIds: readonly string[]): RedisCommand => [
      "presenceLookUp",
      userIds.length,
      ...userIds.map((userId) => keys.person(shard, userId)),
    ],
    rememberGateway: (gatewayId: string, sessions: readonly SessionOfPerson[]): RedisCommand => [
      ...(["presenceGatewaySessions", 1, keys.gateway(gatewayId), KEY_LIFE_MS] as const),
      ...sessions.flatMap(({ userId, sessionId }) => [sessionId, userId]),
    ],
    countGateways: (heard = "", ended = ""): RedisCommand => [
      ...(["presenceGateways", 1, keys.gateways, time(), OFFLINE_AFTER_MS] as const),
      ...[heard, ended],
    ],
  };
}

type Raw = readonly unknown[];

export function parseRecord(reply: unknown): RecordReply {
  const [fresh, leftOut, changes, counts] = reply as [string[], string[], Raw, Raw];
  return {
    newSessionIds: fresh,
    leftOutSessionIds: leftOut,
    changes: parseChanges(changes),
    counts: parseCounts(counts),
  };
}

export function parseTakeOut(reply: unknown): TakeOutReply {
  const [taken, changes, counts] = reply as [string[], Raw, Raw];
  return {
    taken: pairs(taken).map(([gatewayId, sessionId]) => ({ gatewayId, sessionId })),
    changes: parseChanges(changes),
    counts: parseCounts(counts),
  };
}

export function parseSweep(reply: unknown): SweepReply {
  const [now, unknownUntil, over, due, counts] = reply as [string, string, string[], string[], Raw];
  return {
    unknown: Number(unknownUntil) > Number(now),
    over: over.map((member) => {
      const at = member.indexOf("\n");
      return { userId: member.slice(0, at), sessionId: member.slice(at + 1) };
    }),
    dueUserIds: due,
    counts: parseCounts(counts),
  };
}

export function parseRead(reply: unknown): ReadReply {
  const [change, unknownUntil, statuses] = reply as [string, string, PresenceStatus[]];
  return { change: Number(change), unknown: unknownUntil !== "0", statuses };
}

/** The gateways of each person of a look-up; the value without a line feed is when they were heard from. */
export function parseLookUp(reply: unknown): readonly (readonly Gateway[])[] {
  return (reply as string[][]).map((values) =>
    values
      .filter((value) => value.includes("\n"))
      .map((value) => {
        const [, , gatewayId = "", gatewayAddress = ""] = value.split("\n");
        return { gatewayId, gatewayAddress };
      }),
  );
}

/** Sessions that were another person's. */
export function parseFormer(reply: unknown): SessionOfPerson[] {
  return pairs(reply as string[]).map(([sessionId, userId]) => ({ sessionId, userId }));
}

/** `<change> <status> <heard>`, as it is published. */
export function parseNotice(userId: string, message: string): Change {
  const [change = "", status = "", heard = ""] = message.split(" ");
  return toChange(change, userId, status, heard);
}

function parseChanges(values: Raw): Change[] {
  const changes: Change[] = [];
  for (let at = 0; at < values.length; at += 4) {
    const [change, userId, status, heard] = values.slice(at, at + 4).map(String);
    changes.push(toChange(change ?? "", userId ?? "", status ?? "", heard ?? ""));
  }
  return changes;
}

function toChange(change: string, userId: string, status: string, heard: string): Change {
  return {
    change: Number(change),
    userId,
    status: status as PresenceStatus,
    heardTimeMs: heard === "" ? undefined : Number(heard),
  };
}

function parseCounts([sessions, onlineUsers]: Raw): Counts {
  return { sessions: Number(sessions), onlineUsers: Number(onlineUsers) };
}

function pairs(values: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 0; at < values.length; at += 2) {
    found.push([values[at] ?? "", values[at + 1] ?? ""]);
  }
  return found;
}
