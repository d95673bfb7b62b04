/** The part of the account stores' contract that is about the server's own secrets. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { type AccountStores, NOW_MS } from "./account-stores.ts";

export function keyContract(open: () => Promise<AccountStores>): void {
  it("gives everybody the one value that was written first", async () => {
    await using stores = await open();
    const values = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        stores.keys.readOrCreate("name", `value ${index}`, NOW_MS),
      ),
    );
    assert.equal(new Set(values).size, 1);
    assert.equal(await stores.keys.readOrCreate("name", "later", NOW_MS), values[0]);
    assert.equal(await stores.keys.readOrCreate("other", "later", NOW_MS), "later");
  });

  it("lists what has a prefix, and forgets what it is told to", async () => {
    await using stores = await open();
    for (const name of ["signing", "signing-2", "other"]) {
      await stores.keys.readOrCreate(name, `value of ${name}`, NOW_MS);
    }
    const listed = async () => {
      const found = await stores.keys.list("signing");
      return [...found].sort((a, b) => (a.name < b.name ? -1 : 1));
    };
    assert.deepEqual(await listed(), [
      { name: "signing", value: "value of signing", createTimeMs: NOW_MS },
      { name: "signing-2", value: "value of signing-2", createTimeMs: NOW_MS },
    ]);
    await stores.keys.delete(["signing", "never there"]);
    await stores.keys.delete([]);
    assert.deepEqual(
      (await listed()).map(({ name }) => name),
      ["signing-2"],
    );
    assert.equal(await stores.keys.readOrCreate("signing", "new", NOW_MS), "new");
  });
}
