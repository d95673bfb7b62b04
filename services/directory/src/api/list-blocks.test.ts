import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("ListBlocks lists the newest first, in pages, also those of one moment", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const people = [];
  for (let index = 0; index < 5; index++) {
    const person = await fixture.person(`user${index}`);
    people.push(person.username);
    await grace.contact.blockUser({ userId: person.userId });
    if (index % 2 === 0) fixture.clock.advance(1000);
  }
  const { blocks } = await grace.contact.listBlocks({});
  assert.equal(blocks.length, 5);
  assert.deepEqual(new Set(blocks.map((block) => block.user?.username)), new Set(people));
  const times = blocks.map((block) => block.createTime?.seconds ?? 0n);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => Number(b - a)),
  );
  const paged: typeof blocks = [];
  let pageToken = "";
  do {
    const page = await grace.contact.listBlocks({ pageSize: 2, pageToken });
    paged.push(...page.blocks);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual(paged, blocks);
});

test("ListBlocks refuses a bad page token", async () => {
  await using fixture = await createAccountFixture();
  const { contact } = await fixture.person("grace");
  await refusedWith(contact.listBlocks({ pageToken: "x" }), "INVALID_FIELD");
});
