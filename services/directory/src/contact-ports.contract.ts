/** What every adapter of the contact store, its outbox and people does; run by each of them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newUuid } from "@parley/platform/ids";
import { type AccountStores, addPeople, NOW_MS } from "./testing/account-stores.ts";

type Open = () => Promise<AccountStores>;

/** Declares the suite. `open` gives stores that share nothing with those of other tests. */
export function describeContactStores(name: string, open: Open): void {
  describe(`the contact store on ${name}`, () => contactContract(open));
  describe(`blocks on ${name}`, () => blockContract(open));
}

async function openWithPeople(open: Open, count: number) {
  const stores = await open();
  const names = Array.from({ length: count }, (_, index) => `user${index}`);
  const people = await addPeople(stores, ...names);
  return { stores, ids: people.map((person) => person.account.userId) };
}

function contactContract(open: Open): void {
  it("never holds more contacts than allowed", async () => {
    const { stores, ids } = await openWithPeople(open, 12);
    await using _ = stores;
    const [owner = "", ...others] = ids;
    const options = { contactsMax: 5, nowMs: NOW_MS };
    const outcomes = await Promise.all(
      others.map((other) => stores.contacts.addContact(owner, other, options)),
    );
    assert.equal(outcomes.filter((outcome) => outcome.kind === "added").length, 5);
    assert.equal(outcomes.filter((outcome) => outcome.kind === "contact-limit").length, 6);
    const added = others.find((_other, index) => outcomes[index]?.kind === "added") ?? "";
    const again = await stores.contacts.addContact(owner, added, options);
    assert.equal(again.kind, "added", "a contact that is there does not count again");
  });

  it("knows who is mutual", async () => {
    const { stores, ids } = await openWithPeople(open, 3);
    await using _ = stores;
    const [one = "", two = "", three = ""] = ids;
    const options = { contactsMax: 5, nowMs: NOW_MS };
    await stores.contacts.addContact(one, two, options);
    await stores.contacts.addContact(two, one, options);
    await stores.contacts.addContact(one, three, options);
    const mutual = await stores.contacts.filterMutualContacts(one, [two, three, newUuid()]);
    assert.deepEqual(mutual, [two]);
    assert.deepEqual(await stores.contacts.filterMutualContacts(three, [one]), []);
    assert.deepEqual(await stores.contacts.filterMutualContacts(one, []), []);
  });

  it("adds nobody who does not exist", async () => {
    const { stores, ids } = await openWithPeople(open, 1);
    await using _ = stores;
    const [one = ""] = ids;
    const options = { contactsMax: 5, nowMs: NOW_MS };
    const outcome = await stores.contacts.addContact(one, newUuid(), options);
    assert.deepEqual(outcome, { kind: "user-not-found" });
    const page = await stores.contacts.listContacts(one, { after: undefined, limit: 10 });
    assert.deepEqual(page, []);
  });
}

function blockContract(open: Open): void {
  it("never holds more blocks than allowed", async () => {
    const { stores, ids } = await openWithPeople(open, 12);
    await using _ = stores;
    const [owner = "", ...others] = ids;
    const options = { blocksMax: 5, nowMs: NOW_MS };
    const outcomes = await Promise.all(
      others.map((other) => stores.contacts.blockUser(owner, other, options)),
    );
    assert.equal(outcomes.filter((outcome) => outcome.kind === "blocked").length, 5);
    const page = await stores.contacts.listBlocks(owner, { after: undefined, limit: 100 });
    assert.equal(page.length, 5);
  });

  it("takes the contact out with the block, and lets none in beside it", async () => {
    const { stores, ids } = await openWithPeople(open, 2);
    await using _ = stores;
    const [one = "", two = ""] = ids;
    const add = () => stores.contacts.addContact(one, two, { contactsMax: 5, nowMs: NOW_MS });
    await Promise.all([
      ...Array.from({ length: 5 }, add),
      stores.contacts.blockUser(one, two, { blocksMax: 5, nowMs: NOW_MS }),
      ...Array.from({ length: 5 }, add),
    ]);
    const contacts = await stores.contacts.listContacts(one, { after: undefined, limit: 10 });
    assert.deepEqual(contacts, []);
    assert.deepEqual(await add(), { kind: "blocked" });
  });

  it("enters each change into the outbox, and forgets only what was told", async () => {
    const { stores, ids } = await openWithPeople(open, 2);
    await using _ = stores;
    const [one = "", two = ""] = ids;
    const options = { blocksMax: 5, nowMs: NOW_MS };
    await stores.contacts.blockUser(one, two, options);
    const first = await stores.blocks.readPendingBlock(one, two);
    assert.equal(first?.blocked, true);
    await stores.contacts.blockUser(one, two, options);
    assert.deepEqual(await stores.blocks.readPendingBlock(one, two), first, "nothing changed");
    await stores.contacts.unblockUser(one, two);
    const second = await stores.blocks.readPendingBlock(one, two);
    assert.equal(second?.blocked, false);
    await stores.blocks.deletePendingBlock(first);
    assert.deepEqual(await stores.blocks.listPendingBlocks(10), [second]);
    await stores.blocks.deletePendingBlock(second);
    assert.deepEqual(await stores.blocks.listPendingBlocks(10), []);
    await stores.contacts.unblockUser(one, two);
    assert.equal(await stores.blocks.readPendingBlock(one, two), undefined);
  });

  it("tells people and blocks in both directions", async () => {
    const { stores, ids } = await openWithPeople(open, 4);
    await using _ = stores;
    const [one = "", two = "", three = "", four = ""] = ids;
    const options = { blocksMax: 5, nowMs: NOW_MS };
    await stores.contacts.blockUser(one, two, options);
    await stores.contacts.blockUser(three, one, options);
    await stores.contacts.blockUser(two, three, options);
    const blocks = await stores.people.blocksBetween(one, [two, three, four]);
    assert.deepEqual(
      new Set(blocks.map((block) => JSON.stringify(block))),
      new Set([
        JSON.stringify({ blockerUserId: one, blockedUserId: two }),
        JSON.stringify({ blockerUserId: three, blockedUserId: one }),
      ]),
    );
    assert.deepEqual(await stores.people.blocksBetween(one, []), []);
    const existing = await stores.people.existingUserIds([one, newUuid()]);
    assert.deepEqual(existing, new Set([one]));
  });
}
