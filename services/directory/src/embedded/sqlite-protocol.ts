/** What the event loop and the thread that holds the SQLite connection say to each other. */

/** A value as `node:sqlite` binds it. */
export type SqliteValue = null | number | bigint | string | Uint8Array;

export type SqliteStatement = {
  readonly id: number;
  readonly sql: string;
  readonly parameters: readonly SqliteValue[];
};

/** Statements that are run one after the other; the failure of one does not stop the next. */
export type SqliteRequest =
  | { readonly kind: "run"; readonly statements: readonly SqliteStatement[] }
  | { readonly kind: "close" };

export type SqliteResult =
  | {
      readonly id: number;
      readonly ok: true;
      readonly rows: readonly Record<string, unknown>[];
      /** Rows inserted, updated or deleted; undefined for a statement that reads. */
      readonly changes: number | undefined;
    }
  | {
      readonly id: number;
      readonly ok: false;
      readonly message: string;
      /** SQLite's extended result code; 0 for an error that is not SQLite's. */
      readonly errorCode: number;
    };

export type SqliteReply =
  | { readonly kind: "opened" }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "results"; readonly results: readonly SqliteResult[] }
  | { readonly kind: "closed" };

/** What the thread is started with. */
export type SqliteWorkerData = { readonly path: string };

/** A statement that SQLite refused. */
export class SqliteError extends Error {
  override readonly name = "SqliteError";
  /** SQLite's extended result code (https://sqlite.org/rescode.html); 0 for an error that is not SQLite's. */
  readonly errorCode: number;

  constructor(message: string, errorCode: number) {
    super(message);
    this.errorCode = errorCode;
  }
}
