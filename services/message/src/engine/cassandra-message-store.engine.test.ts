import { after } from "node:test";
import { messageStoreContract } from "../ports.contract.ts";
import { type CassandraMedium, createCassandraMedium } from "../testing/cassandra-medium.ts";

for (const [name, rowsPerBucket] of [
  ["Cassandra", undefined],
  ["Cassandra, four rows to a bucket,", 4],
] as const) {
  let medium: Promise<CassandraMedium> | undefined;
  after(async () => (await medium)?.[Symbol.asyncDispose]());
  const traits = { dedupeExpires: true };
  messageStoreContract(
    name,
    async () => {
      medium ??= createCassandraMedium(rowsPerBucket === undefined ? {} : { rowsPerBucket });
      const { open, wipe } = await medium;
      return { open, [Symbol.asyncDispose]: wipe };
    },
    traits,
  );
}
