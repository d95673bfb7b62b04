/** `OpsService.GetServerInfo`: what this server offers. */
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Clock } from "@parley/platform/clock";
import { HEARTBEAT_INTERVAL_MS } from "../session/limits.ts";

/** What the operator set of the parts that clients ask about. */
export type ServerInfo = {
  readonly serverName: string;
  readonly version: string;
  /** The first one is the default of new conversations. */
  readonly encryptionModes: readonly EncryptionMode[];
  readonly signUpOpen: boolean;
  /** Empty if none. */
  readonly externalIssuer: string;
  readonly payloadBytesMax: number;
  readonly groupMembersMax: number;
  readonly titleCharactersMax: number;
  readonly inviteLifetimeMaxMs: number;
  readonly demo: boolean;
};

export function createGetServerInfo(info: ServerInfo, clock: Clock) {
  return () => ({
    serverName: info.serverName,
    version: info.version,
    encryptionModes: [...info.encryptionModes],
    signUpOpen: info.signUpOpen,
    externalIssuer: info.externalIssuer,
    payloadBytesMax: info.payloadBytesMax,
    conversationLimits: {
      groupMembersMax: info.groupMembersMax,
      titleCharactersMax: info.titleCharactersMax,
      inviteLifetimeMax: durationFromMs(info.inviteLifetimeMaxMs),
    },
    heartbeatInterval: durationFromMs(HEARTBEAT_INTERVAL_MS),
    serverTime: timestampFromMs(clock.nowMs()),
    demo: info.demo,
  });
}
