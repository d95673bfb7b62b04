/** The conversation half of the directory, wired by hand; the service adds it to the account half. */
import { createClient, type Transport } from "@connectrpc/connect";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import type { Clock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { createAddMembers } from "./api/add-members.ts";
import {
  APPLY_WAIT_MAX_MS,
  type ConversationLimitsConfig,
  waitApplied,
} from "./api/conversation-handler.ts";
import { createCreateGroup } from "./api/create-group.ts";
import { createCreateInviteLink } from "./api/create-invite-link.ts";
import { createGetConversation } from "./api/get-conversation.ts";
import { createGetInvitePreview } from "./api/get-invite-preview.ts";
import { createJoinByInvite } from "./api/join-by-invite.ts";
import { createLeaveConversation } from "./api/leave-conversation.ts";
import { createListConversations } from "./api/list-conversations.ts";
import { createListInviteLinks } from "./api/list-invite-links.ts";
import { createListMembers } from "./api/list-members.ts";
import { createOpenDirectConversation } from "./api/open-direct-conversation.ts";
import { createRemoveMember } from "./api/remove-member.ts";
import { createRevokeInviteLink } from "./api/revoke-invite-link.ts";
import { applyBlock } from "./api/send-permission.ts";
import { createUpdateMemberRole } from "./api/update-member-role.ts";
import { createUpdatePreferences } from "./api/update-preferences.ts";
import { createUpdateTitle } from "./api/update-title.ts";
import { createChangeAppender } from "./change-appender.ts";
import type { ChangeRelay, People, SessionNotifier } from "./conversation-ports.ts";
import { isMember } from "./domain/conversation.ts";
import type { Database } from "./embedded/schema.ts";
import { createSqlConversationStore } from "./embedded/sql-conversation-store.ts";
import type { SqlDatabase } from "./embedded/sql-database.ts";
import { createSqlInviteStore } from "./embedded/sql-invite-store.ts";
import { createSqlOutboxStore } from "./embedded/sql-outbox-store.ts";
import { createOutboxRelay } from "./outbox-relay.ts";

export type ConversationDependencies = {
  /** The directory's database, its migrations run. It outlives what is created here. */
  readonly database: SqlDatabase<Database>;
  readonly transports: { readonly message: Transport; readonly fanout: Transport };
  readonly telemetry: Pick<Telemetry, "log" | "metrics" | "tracer">;
  readonly clock: Clock;
  /** Told when a conversation's changes cannot be applied any more. */
  readonly health?: Health | undefined;
  readonly limits: ConversationLimitsConfig;
  readonly people: People;
  /** The longest wait of `setSendPermission`, in ms; default `APPLY_WAIT_MAX_MS`. */
  readonly applyWaitMaxMs?: number;
};

export type ConversationRoutes = AsyncDisposable & {
  readonly routes: Routes;
  /** Begins to bring changes into the log that an earlier process decided. */
  start(): Promise<void>;
  /**
   * Brings a block or its end to the direct conversation of the two, if there is one; resolves when the
   * message service acts on it. Called after the block was written or deleted and committed: the block as it
   * is stored by then decides, so `maySend` of an overtaken call does no harm. Rejects as `waitApplied` of
   * the handlers does: with `UNAVAILABLE` / `OUTCOME_UNKNOWN` when it takes too long; repeating is safe.
   */
  setSendPermission(blockerUserId: string, blockedUserId: string, maySend: boolean): Promise<void>;
  /** Those of the people who are in the group, if the viewer is in it too; nobody otherwise. */
  sharedMembers(
    conversationId: string,
    viewerUserId: string,
    userIds: readonly string[],
  ): Promise<string[]>;
};

/** Time for telling a person's own sessions something, in ms; short, because the caller waits for it. */
const NOTIFY_TIMEOUT_MS = 1000;

/** Creates the routes of `ConversationService` and what the account half needs of conversations. */
export async function createConversationRoutes(
  dependencies: ConversationDependencies,
): Promise<ConversationRoutes> {
  const { database, telemetry, transports, clock, health } = dependencies;
  const { applyWaitMaxMs = APPLY_WAIT_MAX_MS } = dependencies;
  const conversations = createSqlConversationStore(database);
  const relay = createOutboxRelay({
    outbox: createSqlOutboxStore(database),
    appender: createChangeAppender({ transport: transports.message, telemetry }),
    telemetry,
    health,
  });
  return {
    routes: createRoutes(dependencies, {
      conversations,
      invites: createSqlInviteStore(database),
      relay,
      sessions: createSessionNotifier(transports.fanout),
    }),
    async start() {
      relay.start();
    },
    async setSendPermission(blockerUserId, blockedUserId) {
      const outcome = await applyBlock({ conversations, clock }, blockerUserId, blockedUserId);
      if (outcome.kind === "refused") return;
      const options = { timeoutMs: applyWaitMaxMs };
      await waitApplied(relay, outcome.conversationId, outcome.membershipVersion, options);
    },
    async sharedMembers(conversationId, viewerUserId, userIds) {
      const view = await conversations.read(conversationId, viewerUserId);
      const shared =
        view?.conversation.kind === ConversationKind.GROUP && isMember(view.membership);
      return shared ? [...(await conversations.filterMembers(conversationId, userIds))] : [];
    },
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
}

function createRoutes(
  { telemetry: { log }, clock, limits, people }: ConversationDependencies,
  parts: {
    readonly conversations: ReturnType<typeof createSqlConversationStore>;
    readonly invites: ReturnType<typeof createSqlInviteStore>;
    readonly relay: ChangeRelay;
    readonly sessions: SessionNotifier;
  },
): Routes {
  const deps = { ...parts, people, clock, limits, log };
  return [
    defineRoute(ConversationService, {
      openDirectConversation: createOpenDirectConversation(deps),
      createGroup: createCreateGroup(deps),
      getConversation: createGetConversation(deps),
      listConversations: createListConversations(deps),
      listMembers: createListMembers(deps),
      addMembers: createAddMembers(deps),
      removeMember: createRemoveMember(deps),
      leaveConversation: createLeaveConversation(deps),
      updateMemberRole: createUpdateMemberRole(deps),
      updateTitle: createUpdateTitle(deps),
      updatePreferences: createUpdatePreferences(deps),
      createInviteLink: createCreateInviteLink(deps),
      listInviteLinks: createListInviteLinks(deps),
      revokeInviteLink: createRevokeInviteLink(deps),
      getInvitePreview: createGetInvitePreview(deps),
      joinByInvite: createJoinByInvite(deps),
    }),
  ];
}

function createSessionNotifier(transport: Transport): SessionNotifier {
  const client = createClient(FanoutService, transport);
  return {
    async notify(userId, event) {
      await client.dispatchToUsers({ userIds: [userId], event }, { timeoutMs: NOTIFY_TIMEOUT_MS });
    },
  };
}
