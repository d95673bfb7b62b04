/** Finding people by the start of their names. */
import type { SelectQueryBuilder } from "kysely";
import type { AccountStore, SearchMatch, SearchPlace, SearchRank } from "../account-ports.ts";
import type { UserRow } from "./account-schema.ts";
import type { Database } from "./schema.ts";
import { type AccountDatabase, toAccount } from "./sql-account-rows.ts";

type Query = Parameters<AccountStore["searchAccounts"]>[0];
type Users = SelectQueryBuilder<Database, "users", UserRow>;

/** Sorts behind every character: what starts with a prefix lies between it and it with this. */
const LAST_CHARACTER = "\u{10FFFF}";

const RANKS: readonly SearchRank[] = ["exact", "username", "display-name"];

/**
 * Asks for one kind of match after the other until the page is full. A range instead of `like` reads only
 * the part of the index that matches, and has no wildcards that somebody could type.
 */
export async function searchAccounts(
  database: AccountDatabase,
  query: Query,
): Promise<readonly SearchMatch[]> {
  const { after, limit } = query;
  const matches: SearchMatch[] = [];
  for (const rank of after === undefined ? RANKS : RANKS.slice(RANKS.indexOf(after.rank))) {
    if (matches.length >= limit) break;
    const place = after?.rank === rank ? after : undefined;
    const rows = await selectRank(database, query, rank, place)
      .limit(limit - matches.length)
      .execute();
    for (const row of rows) {
      const name = rank === "display-name" ? row.display_name_folded : "";
      matches.push({ account: toAccount(row), place: { rank, name, username: row.username } });
    }
  }
  return matches;
}

function selectRank(
  database: AccountDatabase,
  { viewerUserId, prefix }: Query,
  rank: SearchRank,
  after: SearchPlace | undefined,
): Users {
  const visible = selectUnblocked(database, viewerUserId);
  if (rank === "exact") {
    return after === undefined
      ? visible.where("username", "=", prefix)
      : visible.where("user_id", "is", null);
  }
  const searchable = visible.where("searchable", "=", 1);
  return rank === "username"
    ? selectByUsername(searchable, prefix, after)
    : selectByDisplayName(searchable, prefix, after);
}

function selectUnblocked({ db }: AccountDatabase, viewerUserId: string): Users {
  return db
    .selectFrom("users")
    .selectAll("users")
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("blocks")
            .select("blocks.user_id")
            .whereRef("blocks.user_id", "=", "users.user_id")
            .where("blocks.blocked_user_id", "=", viewerUserId),
        ),
      ),
    );
}

function selectByUsername(users: Users, prefix: string, after: SearchPlace | undefined): Users {
  return users
    .where("username", ">", after?.username ?? prefix)
    .where("username", "<", prefix + LAST_CHARACTER)
    .orderBy("username");
}

function selectByDisplayName(users: Users, prefix: string, after: SearchPlace | undefined): Users {
  const matching = users
    .where("display_name_folded", ">=", prefix)
    .where("display_name_folded", "<", prefix + LAST_CHARACTER)
    // Those whose username matches have come already.
    .where(({ eb, or }) =>
      or([eb("username", "<", prefix), eb("username", ">=", prefix + LAST_CHARACTER)]),
    );
  const rest =
    after === undefined
      ? matching
      : matching.where(({ and, eb, or }) =>
          or([
            eb("display_name_folded", ">", after.name),
            and([eb("display_name_folded", "=", after.name), eb("username", ">", after.username)]),
          ]),
        );
  return rest.orderBy("display_name_folded").orderBy("username");
}
