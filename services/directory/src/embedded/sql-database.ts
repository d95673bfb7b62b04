/** What the stores need of a SQL database, and the little in which SQLite and MySQL differ. */
import type { Kysely, Transaction } from "kysely";

export type SqlDatabase<Tables> = {
  readonly db: Kysely<Tables>;
  /**
   * What keeps two decisions about one row apart: `writer` where a database admits one writing transaction at
   * a time (SQLite), `row` where rows are locked with `FOR UPDATE` (MySQL).
   */
  readonly locking: "writer" | "row";
  /** Whether a statement failed because its row's primary or unique key exists. */
  isDuplicateKey(error: unknown): boolean;
  /** Whether a transaction failed only because of another one (a deadlock, a lock not had in time). */
  isTransient(error: unknown): boolean;
};

/** A transaction that lost this often against others is refused; two or three losses in a row are rare. */
const ATTEMPTS_MAX = 5;

/**
 * Runs `work` in one transaction that is durable when this resolves, and rolled back when `work` throws. A
 * transaction that only lost against another one is repeated, so `work` changes nothing outside of it.
 */
export function withTransaction<Tables, T>(
  database: Pick<SqlDatabase<Tables>, "db" | "isTransient">,
  work: (trx: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return repeatWhileTransient(database, () => database.db.transaction().execute(work));
}

/** Runs `work`, which only reads, so that everything it reads is of one moment. */
export function withSnapshot<Tables, T>(
  database: Pick<SqlDatabase<Tables>, "db" | "isTransient">,
  work: (trx: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return repeatWhileTransient(database, () =>
    database.db
      .transaction()
      .setIsolationLevel("repeatable read")
      .setAccessMode("read only")
      .execute(work),
  );
}

async function repeatWhileTransient<T>(
  { isTransient }: Pick<SqlDatabase<unknown>, "isTransient">,
  run: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !isTransient(error)) throw error;
    }
  }
}
