/** What every registry of partition routes does; run by each adapter. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ROUTE_TTL_MS } from "./domain/route-rules.ts";
import type { PartitionRoutes } from "./route-ports.ts";

export type RoutesFixture = AsyncDisposable & {
  /** Two instances of one registry; the same one where there can be only one. */
  readonly routes: PartitionRoutes;
  readonly others: PartitionRoutes;
  /** Lets the registry's time pass. */
  pass(ms: number): Promise<void>;
  /** The registry loses everything. */
  empty(): Promise<void>;
};

const WEST = { address: "west:1", partitionCount: 4 };
const EAST = { address: "east:1", partitionCount: 4 };

async function owners({ others }: RoutesFixture): Promise<string[]> {
  const { owners: found } = await others.list();
  return found.map(({ partition, address }) => `${partition} ${address}`);
}

export function runPartitionRoutesContract(
  name: string,
  create: () => Promise<RoutesFixture>,
): void {
  describe(`partition routes in ${name}`, () => {
    it("has no owners at first", async () => {
      await using fixture = await create();
      assert.deepEqual(await fixture.routes.list(), { owners: [], partitionCount: 0 });
    });

    it("names whoever took a partition last", async () => {
      await using fixture = await create();
      const { routes, others } = fixture;
      const [first] = await routes.take(WEST, [0, 1]);
      const [second] = await others.take(EAST, [1]);
      assert.deepEqual(await owners(fixture), ["0 west:1", "1 east:1"]);
      assert.equal(first?.partition, 0);
      assert.ok(Number.isSafeInteger(second?.generation));
      assert.equal((await others.list()).partitionCount, 4);
    });

    it("gives each taking of a partition a greater generation", async () => {
      await using fixture = await create();
      let last = 0;
      for (const applier of [WEST, EAST, EAST, WEST]) {
        const [taking] = await fixture.routes.take(applier, [3]);
        assert.ok((taking?.generation ?? 0) > last);
        last = taking?.generation ?? 0;
      }
    });

    it("keeps an owner that renews, and forgets one that does not", async () => {
      await using fixture = await create();
      const { routes } = fixture;
      const kept = await routes.take(WEST, [0]);
      await routes.take(EAST, [1]);
      await fixture.pass(ROUTE_TTL_MS - 1000);
      assert.deepEqual(await routes.renew(WEST, kept), []);
      await fixture.pass(2000);
      assert.deepEqual(await owners(fixture), ["0 west:1"]);
      await fixture.pass(ROUTE_TTL_MS);
      assert.deepEqual(await owners(fixture), []);
    });

    it("tells an instance that stood still what it lost, and changes nothing", async () => {
      await using fixture = await create();
      const { routes, others } = fixture;
      const old = await routes.take(WEST, [0, 1]);
      await others.take(EAST, [1]);
      assert.deepEqual(await routes.renew(WEST, old), [1]);
      assert.deepEqual(await owners(fixture), ["0 west:1", "1 east:1"]);
    });

    it("forgets what its newest owner releases, and nothing that an earlier one does", async () => {
      await using fixture = await create();
      const { routes, others } = fixture;
      const old = await routes.take(WEST, [0, 1]);
      const newer = await others.take(EAST, [1]);
      await routes.release(old);
      assert.deepEqual(await owners(fixture), ["1 east:1"]);
      await others.release(newer);
      assert.deepEqual(await owners(fixture), []);
    });

    it("is complete after one renewal when it was emptied, and the newer owner wins", async () => {
      await using fixture = await create();
      const { routes, others } = fixture;
      const old = await routes.take(WEST, [0, 1]);
      const newer = await others.take(EAST, [1]);
      await fixture.empty();
      assert.deepEqual(await owners(fixture), []);
      assert.deepEqual(await routes.renew(WEST, old), []);
      assert.deepEqual(await others.renew(EAST, newer), []);
      assert.deepEqual(await owners(fixture), ["0 west:1", "1 east:1"]);
      assert.deepEqual(await routes.renew(WEST, old), [1]);
    });

    it("gives a taking after it was emptied a greater generation than those before", async () => {
      await using fixture = await create();
      const old = await fixture.routes.take(WEST, [0]);
      await fixture.pass(10);
      await fixture.empty();
      await fixture.others.take(EAST, [0]);
      assert.deepEqual(await fixture.routes.renew(WEST, old), [0]);
      assert.deepEqual(await owners(fixture), ["0 east:1"]);
    });
  });
}
