/** Commands about groups: creating, membership, roles, invites. */
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { splitNames } from "./options.ts";
import { present, type SlashCommand, type SlashContext, slashFailure } from "./slash-context.ts";
import { openTarget } from "./targets.ts";

const INVITE_PATTERN = /^[A-Za-z0-9_-]{22}$/;

export const groupCommands: Readonly<Record<string, SlashCommand>> = {
  group: {
    usage: '/group "TITLE" NAME, NAME …',
    summary: "create a group and open it",
    async run(rest, context) {
      const [, quoted, word, names = ""] = /^(?:"([^"]+)"|(\S+))\s*([\s\S]*)$/.exec(rest) ?? [];
      const title = quoted ?? word;
      if (title === undefined) {
        throw slashFailure("A group needs a title.", 'For example: /group "Team" bob, eve');
      }
      const target = { kind: "group", title, members: splitNames(names) } as const;
      await context.open(await openTarget(target, context.client, context.people));
      return undefined;
    },
  },
  add: {
    usage: "/add NAME, NAME …",
    summary: "add people to this group",
    async run(rest, context) {
      const userIds = await findAll(rest, context);
      await context.client.conversations.addMembers({
        conversationId: present(context).id,
        userIds,
      });
      return undefined;
    },
  },
  remove: {
    usage: "/remove NAME",
    summary: "remove a person from this group",
    async run(rest, context) {
      const userId = await context.people.find(rest);
      await context.client.conversations.removeMember({
        conversationId: present(context).id,
        userId,
      });
      return undefined;
    },
  },
  role: {
    usage: "/role NAME admin | member | owner",
    summary: "change what a person may do in this group",
    async run(rest, context) {
      const [name = "", word = ""] = rest.split(/\s+/);
      const roles: Readonly<Record<string, Role>> = {
        admin: Role.ADMIN,
        member: Role.MEMBER,
        owner: Role.OWNER,
      };
      const role = Object.hasOwn(roles, word) ? roles[word] : undefined;
      if (role === undefined) throw slashFailure("Which role?", "Use admin, member or owner.");
      const userId = await context.people.find(name);
      const conversationId = present(context).id;
      await context.client.conversations.updateMemberRole({ conversationId, userId, role });
      return undefined;
    },
  },
  rename: {
    usage: "/rename TITLE",
    summary: "give this group another title",
    async run(title, context) {
      if (title === "") throw slashFailure("Which title?", "Write it after /rename.");
      await context.client.conversations.updateTitle({
        conversationId: present(context).id,
        title,
      });
      return undefined;
    },
  },
  leave: {
    usage: "/leave",
    summary: "leave this group",
    async run(_rest, context) {
      await context.client.conversations.leaveConversation({ conversationId: present(context).id });
      context.print("  You left.");
      return undefined;
    },
  },
  invite: {
    usage: "/invite",
    summary: "make an invite code for this group, good for 7 days",
    async run(_rest, context) {
      const conversationId = present(context).id;
      const { inviteLink } = await context.client.conversations.createInviteLink({
        conversationId,
      });
      context.print(`  Others join with: /join ${inviteLink?.inviteCode ?? ""}`);
      return undefined;
    },
  },
  join: {
    usage: "/join CODE",
    summary: "join a group with an invite code and open it",
    async run(inviteCode, context) {
      if (!INVITE_PATTERN.test(inviteCode)) {
        throw slashFailure("This is no invite code.", "A code has 22 characters.");
      }
      const { conversation } = await context.client.conversations.joinByInvite({ inviteCode });
      await context.open(context.client.conversation(conversation?.conversationId ?? ""));
      return undefined;
    },
  },
};

async function findAll(text: string, { people }: SlashContext): Promise<string[]> {
  const names = splitNames(text);
  if (names.length === 0) throw slashFailure("Whom?", "Write usernames, separated by commas.");
  const userIds: string[] = [];
  for (const name of names) userIds.push(await people.find(name));
  return userIds;
}
