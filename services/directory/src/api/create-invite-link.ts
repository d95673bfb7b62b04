import { randomBytes } from "node:crypto";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { Clock } from "@parley/platform/clock";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { InviteStore } from "../conversation-ports.ts";
import { admitNewInvite, type InviteState } from "../domain/conversation-invite.ts";
import { toInviteLinkMessage } from "./conversation-answer.ts";
import {
  type ConversationHandlers,
  type ConversationLimitsConfig,
  refusalError,
} from "./conversation-handler.ts";

type Deps = {
  readonly invites: Pick<InviteStore, "createInvite">;
  readonly clock: Clock;
  readonly limits: Pick<ConversationLimitsConfig, "inviteLifetimeMaxMs">;
};

/** Live links of a group; the contract's number. Enough for every channel one posts to, short enough to oversee. */
const LIVE_LINKS_MAX = 20;
/** 128 random bits, the contract's 22 characters of base64url: nobody guesses one. */
const INVITE_CODE_BYTES = 16;
/** How long a link works if its creator does not say, in ms. */
const LIFETIME_DEFAULT_MS = 7 * 24 * 60 * 60 * 1000;

/** `ConversationService.CreateInviteLink` */
export function createCreateInviteLink(deps: Deps): ConversationHandlers["createInviteLink"] {
  const { invites, clock, limits } = deps;
  return async ({ conversationId, lifetime, useLimit }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    const createTimeMs = clock.nowMs();
    const invite: InviteState = {
      inviteCode: randomBytes(INVITE_CODE_BYTES).toString("base64url"),
      conversationId,
      creatorUserId: actorUserId,
      createTimeMs,
      expireTimeMs: createTimeMs + lifetimeMs(lifetime, limits.inviteLifetimeMaxMs),
      useLimit,
      useCount: 0,
      revoked: false,
    };
    const created = await invites.createInvite(invite, (snapshot, liveLinks) =>
      admitNewInvite(snapshot, { actorUserId, liveLinks, linksMax: LIVE_LINKS_MAX }),
    );
    if (created.kind === "refused") throw refusalError(created.refusal);
    return { inviteLink: toInviteLinkMessage(invite) };
  };
}

function lifetimeMs(wanted: Duration | undefined, maxMs: number): number {
  if (wanted === undefined) return Math.min(LIFETIME_DEFAULT_MS, maxMs);
  const ms = durationMs(wanted);
  if (ms <= maxMs) return ms;
  throw invalidArgument("lifetime", `On this server a link lives at most ${maxMs / 1000} seconds.`);
}
