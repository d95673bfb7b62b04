import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { CassandraSchemaError } from "./cassandra-client.ts";
import { readMigrations } from "./cassandra-migrations.ts";

function read(files: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(join(tmpdir(), "parley-migrations-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    return readMigrations(pathToFileURL(`${directory}/`));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const TABLE = "CREATE TABLE IF NOT EXISTS";

describe("reading migrations", () => {
  it("gives them in order, without comments", () => {
    const files = {
      "0002-more.cql": `${TABLE} c (a int PRIMARY KEY)`,
      "0001-tables.cql": `-- Why; and how.\n${TABLE} a (\n  a int -- a key\n);\n\n${TABLE} b (b int);\n`,
      "README.md": "not a migration",
    };
    assert.deepEqual(read(files), [
      {
        version: 1,
        name: "tables",
        statements: [`${TABLE} a (\n  a int \n)`, `${TABLE} b (b int)`],
      },
      { version: 2, name: "more", statements: [`${TABLE} c (a int PRIMARY KEY)`] },
    ]);
  });

  for (const [what, files] of [
    ["a gap in the numbers", { "0001-a.cql": "", "0003-b.cql": "" }],
    ["another name", { "0001_a.cql": "" }],
    ["a statement that cannot be made twice", { "0001-a.cql": "CREATE TABLE a (a int)" }],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => read(files), CassandraSchemaError);
    });
  }
});
