/** Names for user ids, and user ids for names. */
import type { ParleyClient } from "@parley/sdk";
import { CliFailure, exitCodes } from "../failure.ts";

/** Names kept; a person sees fewer people than this in one sitting. */
const NAMES_MAX = 5_000;
/** What the contract takes in one call. */
const BATCH_MAX = 100;

export type People = {
  /** The username, or a short form of the id while it is not known. */
  name(userId: string): string;
  /** Makes names known; those that cannot be read stay ids. */
  learn(userIds: Iterable<string>): Promise<void>;
  /** @throws CliFailure when nobody has the name. */
  find(username: string): Promise<string>;
};

export function createPeople(client: ParleyClient): People {
  const names = new Map<string, string>();
  const { account } = client;
  if (account) names.set(account.userId, account.username);
  const keep = (userId: string, username: string) => {
    if (names.size < NAMES_MAX) names.set(userId, username);
  };
  return {
    name: (userId) => names.get(userId) ?? userId.slice(0, 8),
    async learn(userIds) {
      const unknown = [...new Set(userIds)].filter((id) => id !== "" && !names.has(id));
      for (let start = 0; start < unknown.length; start += BATCH_MAX) {
        const batch = unknown.slice(start, start + BATCH_MAX);
        const answer = await client.accounts
          .batchGetUsers({ userIds: batch })
          .catch(() => undefined);
        for (const user of answer?.users ?? []) keep(user.userId, user.username);
      }
    },
    async find(text) {
      const username = text.replace(/^@/, "").toLowerCase();
      const { users } = await client.accounts.searchUsers({ query: username, pageSize: 50 });
      const user = users.find((candidate) => candidate.username === username);
      if (!user) {
        throw new CliFailure(
          exitCodes.failed,
          `Nobody here is called ${username}.`,
          "Check the spelling; usernames are not display names.",
        );
      }
      keep(user.userId, user.username);
      return user.userId;
    },
  };
}
