import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SettingError } from "../../config.ts";
import {
  type CassandraSession,
  type CassandraSessionOptions,
  connectCassandra,
} from "./cassandra.ts";
import {
  CassandraOverloadedError,
  CassandraSchemaError,
  CassandraUnavailableError,
} from "./cassandra-client.ts";
import { openHeldProxy } from "./testing/held-proxy.ts";
import {
  createTestKeyspace,
  TEST_CONTACT_POINT,
  type TestKeyspace,
} from "./testing/test-keyspace.ts";

let keyspace: TestKeyspace;

before(async () => {
  keyspace = createTestKeyspace();
  const name = keyspace.config.keyspace;
  const replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
  await keyspace.execute(`CREATE KEYSPACE ${name} WITH replication = ${replication}`);
  await keyspace.execute(
    `CREATE TABLE ${name}.notes (shelf text, at bigint, text text, PRIMARY KEY (shelf, at))`,
  );
});
after(() => keyspace[Symbol.asyncDispose]());

function connect(options: Partial<CassandraSessionOptions> = {}): Promise<CassandraSession> {
  return connectCassandra({ config: keyspace.config, applicationName: "test", ...options });
}

const INSERT = "INSERT INTO notes (shelf, at, text) VALUES (?, ?, ?)";
const SELECT = "SELECT at, text FROM notes WHERE shelf = ?";

function note(shelf: string, at: number, text = "") {
  return { query: INSERT, params: [shelf, BigInt(at), text] };
}

describe("a session with Cassandra", () => {
  it("reads what was written, however many pages it fills", async () => {
    await using session = await connect();
    const numbers = Array.from({ length: 2345 }, (_, at) => at);
    for (let from = 0; from < numbers.length; from += 500) {
      await session.write(...numbers.slice(from, from + 500).map((at) => note("pages", at)));
    }
    const rows = await session.read(SELECT, ["pages"]);
    assert.deepEqual(
      rows.map(({ at }) => Number(at)),
      numbers,
    );
  });

  it("writes several statements of a partition together or not at all", async () => {
    await using session = await connect();
    // Larger than a node takes as one write.
    const tooLarge = note("whole", 2, "x".repeat(17 * 1024 * 1024));
    await assert.rejects(session.write(note("whole", 1), tooLarge));
    assert.deepEqual(await session.read(SELECT, ["whole"]), []);
    await session.write(note("whole", 1), note("whole", 2));
    assert.equal((await session.read(SELECT, ["whole"])).length, 2);
  });

  it("says what was there instead of writing it again", async () => {
    await using session = await connect();
    const claim = (text: string) => ({
      query: `${INSERT} IF NOT EXISTS`,
      params: ["claim", 1n, text],
    });
    const first = await Promise.all([1, 2, 3].map((at) => session.writeIfAbsent(claim(`${at}`))));
    assert.equal(first.filter((kept) => kept === undefined).length, 1, "one of three was first");
    const [stored] = await session.read(SELECT, ["claim"]);
    assert.equal((await session.writeIfAbsent(claim("late")))?.text, stored?.text);
  });

  it("repeats what has no answer in time, and the rows are the same", async () => {
    await using proxy = await openHeldProxy(TEST_CONTACT_POINT);
    const config = { ...keyspace.config, contactPoints: [proxy.address] };
    await using session = await connect({ config, requestTimeoutMs: 500 });
    await session.write(note("slow", 1));
    proxy.hold();
    const released = setTimeout(() => proxy.release(), 700);
    const startMs = performance.now();
    await session.write(note("slow", 2, "two"), note("slow", 3, "three"));
    const tookMs = performance.now() - startMs;
    clearTimeout(released);
    assert.ok(tookMs > 500, `answered after ${tookMs} ms: nothing timed out`);
    const rows = await session.read(SELECT, ["slow"]);
    assert.deepEqual(
      rows.map(({ text }) => text),
      ["", "two", "three"],
    );
  });

  it("gives up within its time, and works again afterwards", async () => {
    await using proxy = await openHeldProxy(TEST_CONTACT_POINT);
    const config = { ...keyspace.config, contactPoints: [proxy.address] };
    const limits = { requestTimeoutMs: 200, operationTimeoutMs: 1500 };
    await using session = await connect({ config, ...limits });
    await session.write(note("gone", 1));
    proxy.hold();
    const startMs = performance.now();
    await assert.rejects(session.write(note("gone", 2)), CassandraUnavailableError);
    await assert.rejects(session.read(SELECT, ["gone"]), CassandraUnavailableError);
    assert.ok(performance.now() - startMs < 2 * 1500 + 500);
    proxy.release();
    await session.write(note("gone", 3));
    assert.equal((await session.read(SELECT, ["gone"])).length, 3, "what had no answer is there");
  });

  it("goes on over new connections when they break", async () => {
    await using proxy = await openHeldProxy(TEST_CONTACT_POINT);
    const config = { ...keyspace.config, contactPoints: [proxy.address] };
    await using session = await connect({ config, attemptsMax: 20 });
    for (let at = 0; at < 30; at++) {
      if (at % 10 === 5) proxy.cut();
      await session.write(note("cut", at));
    }
    assert.equal((await session.read(SELECT, ["cut"])).length, 30);
  });

  it("refuses what is too much, without sending it", async () => {
    await using session = await connect({ requestsMax: 2, waitingMax: 3 });
    const writes = Array.from({ length: 8 }, (_, at) => session.write(note("much", at)));
    const ends = await Promise.allSettled(writes);
    const refused = ends.filter((end) => end.status === "rejected").map((end) => end.reason);
    assert.equal(refused.length, 3);
    for (const reason of refused) assert.ok(reason instanceof CassandraOverloadedError);
    assert.equal((await session.read(SELECT, ["much"])).length, 5);
  });

  it("does not repeat what is refused for ever", async () => {
    await using session = await connect();
    const startMs = performance.now();
    await assert.rejects(session.read("SELECT nothing FROM notes", []), /nothing/);
    await assert.rejects(
      session.write({ query: INSERT, params: ["shelf", "not a number", ""] }),
      /not a number/,
    );
    assert.ok(performance.now() - startMs < 1000);
  });

  it("ends what waits when it is disposed of", async () => {
    await using proxy = await openHeldProxy(TEST_CONTACT_POINT);
    const config = { ...keyspace.config, contactPoints: [proxy.address] };
    const session = await connect({ config, requestTimeoutMs: 300 });
    proxy.hold();
    const write = session.write(note("closed", 1));
    const rejected = assert.rejects(write, CassandraUnavailableError);
    await session[Symbol.asyncDispose]();
    await rejected;
  });
});

describe("connecting to Cassandra", () => {
  it("says which contact points do not answer", async () => {
    const config = { ...keyspace.config, contactPoints: ["127.0.0.1:1"] };
    await assert.rejects(connect({ config }), (error) => {
      assert.ok(error instanceof CassandraUnavailableError);
      assert.match(error.message, /PARLEY_CASSANDRA_CONTACT_POINTS=127\.0\.0\.1:1 .*ECONNREFUSED/);
      return true;
    });
  });

  it("asks for a migration when there is no keyspace", async () => {
    const config = { ...keyspace.config, keyspace: "test_nobody_made" };
    await assert.rejects(connect({ config }), (error) => {
      assert.ok(error instanceof CassandraSchemaError);
      assert.match(error.message, /test_nobody_made .*parley migrate/);
      return true;
    });
  });

  it("names the setting when the authority's file is missing", async () => {
    const config = { ...keyspace.config, tlsCaFile: "/nowhere/ca.pem" };
    await assert.rejects(
      connect({ config }),
      (error) => error instanceof SettingError && error.variable === "PARLEY_CASSANDRA_TLS_CA_FILE",
    );
  });
});
