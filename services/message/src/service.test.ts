import assert from "node:assert/strict";
import { cpSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationRecordSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { partitionOf } from "@parley/platform/log/partition";
import { LogMismatchError } from "./log-check.ts";
import {
  asDevice,
  createdItem,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "./testing/message-world.ts";

function temporaryDirectory() {
  const directory = mkdtempSync(join(tmpdir(), "parley-message-"));
  return {
    directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

async function pair(world: MessageWorld) {
  const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
  await world.append(createdItem(conversationId, [ann, ben]));
  return { conversationId, ann, ben };
}

function seqsOf(world: MessageWorld): number[] {
  return world.fanout.batches.flatMap(({ entries }) => entries.map(({ seq }) => Number(seq)));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function lastSeq(world: MessageWorld, conversationId: string, userId: string) {
  const page = await world.messages.listMessages(
    { conversationId, direction: ReadDirection.OLDER, pageSize: 1 },
    asDevice(userId),
  );
  return Number(page.lastSeq);
}

describe("the message service", () => {
  it("says that it is catching up, and never that what it had is not there", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    let made: Awaited<ReturnType<typeof pair>>;
    {
      await using world = await openMessageWorld({ directory });
      made = await pair(world);
    }
    await using world = await openMessageWorld({ directory, stopped: true });
    const { conversationId, ann } = made;
    const ranges = [{ conversationId, afterSeq: 0n, lastSeq: 9n }];
    for (const reading of [
      () => lastSeq(world, conversationId, ann),
      () => world.messages.listReceipts({ conversationId }, asDevice(ann)),
      () => world.messages.updateReceipt({ conversationId, readSeq: 1n }, asDevice(ann)),
      () => world.timeline.readRanges({ userId: ann, ranges }),
    ]) {
      await assert.rejects(reading(), (error) => reasonOf(error) === "CATCHING_UP");
    }
    await world.service.start();
    assert.equal(await lastSeq(world, conversationId, ann), 1);
  });

  it("goes on where it was after a restart, and dispatches nothing twice that was answered", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    let made: Awaited<ReturnType<typeof pair>>;
    {
      await using world = await openMessageWorld({ directory });
      made = await pair(world);
      for (let at = 0; at < 9; at++) await world.append(messageItem(made.conversationId, made.ann));
      await world.service.drain();
      assert.equal(seqsOf(world).length, 10);
    }
    await using world = await openMessageWorld({ directory });
    const { seq } = await world.append(messageItem(made.conversationId, made.ben));
    assert.equal(seq, 11n);
    await world.service.drain();
    assert.deepEqual(seqsOf(world), [11]);
  });

  it("dispatches again, after a restart, what fan-out had not answered", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    let made: Awaited<ReturnType<typeof pair>>;
    {
      await using world = await openMessageWorld({ directory });
      made = await pair(world);
      await until(() => seqsOf(world).length === 1);
      world.fanout.gate = () => new Promise(() => undefined);
      for (let at = 0; at < 3; at++) await world.append(messageItem(made.conversationId, made.ann));
    }
    await using world = await openMessageWorld({ directory });
    await until(() => seqsOf(world).includes(4));
    assert.deepEqual(seqsOf(world), [2, 3, 4]);
    const entries = world.fanout.batches.flatMap((batch) => batch.entries);
    assert.ok(entries.every(({ senderUserId }) => senderUserId === made.ann));
    assert.ok(entries.every(({ countsAsUnread }) => countsAsUnread));
    const query = { conversationId: made.conversationId, direction: ReadDirection.NEWER };
    const { messages } = await world.messages.listMessages(query, asDevice(made.ben));
    assert.equal(messages.length, 4, "and numbers nothing twice");
  });

  it("answers while fan-out does not, and brings everything in order when it does", async () => {
    await using world = await openMessageWorld();
    const open = createDeferred<void>();
    world.fanout.gate = () => open.promise;
    const made = await pair(world);
    for (let at = 0; at < 5; at++) await world.append(messageItem(made.conversationId, made.ann));
    assert.deepEqual(seqsOf(world), []);
    world.fanout.gate = undefined;
    open.resolve();
    await world.service.drain();
    assert.deepEqual(seqsOf(world), [1, 2, 3, 4, 5, 6]);
  });

  it("repeats a dispatch that failed, in order, until it arrives", async () => {
    await using world = await openMessageWorld();
    let failures = 0;
    world.fanout.gate = () => {
      if (failures++ < 2) throw new ConnectError("not now", Code.Unavailable);
    };
    const made = await pair(world);
    for (let at = 0; at < 5; at++) await world.append(messageItem(made.conversationId, made.ann));
    await until(() => seqsOf(world).length >= 6);
    const seen = [...new Set(seqsOf(world))];
    assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
  });

  it("refuses to start on another log, and says what to do", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    {
      await using world = await openMessageWorld({ directory });
      await pair(world);
    }
    rmSync(join(directory, "log"), { recursive: true });
    await using world = await openMessageWorld({ directory, stopped: true });
    await assert.rejects(world.service.start(), (error) => {
      assert.ok(error instanceof LogMismatchError);
      assert.match(error.message, /belongs to the log .* Restore the log/);
      return true;
    });
  });

  it("refuses to start on a log that lost its end", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    const old = join(directory, "old-log");
    {
      await using world = await openMessageWorld({ directory, log: { partitionCount: 1 } });
      await pair(world);
    }
    cpSync(join(directory, "log"), old, { recursive: true });
    {
      await using world = await openMessageWorld({ directory, log: { partitionCount: 1 } });
      await pair(world);
    }
    rmSync(join(directory, "log"), { recursive: true });
    renameSync(old, join(directory, "log"));
    await using world = await openMessageWorld({
      directory,
      log: { partitionCount: 1 },
      stopped: true,
    });
    await assert.rejects(world.service.start(), (error) => {
      assert.ok(error instanceof LogMismatchError);
      assert.match(error.message, /lost records/);
      return true;
    });
  });

  it("rebuilds from the log what an older copy of its store lacks", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    const old = join(directory, "old-store");
    let made: Awaited<ReturnType<typeof pair>>;
    {
      await using world = await openMessageWorld({ directory });
      made = await pair(world);
      await world.append(messageItem(made.conversationId, made.ann));
    }
    cpSync(join(directory, "message"), old, { recursive: true });
    const sent = [];
    {
      await using world = await openMessageWorld({ directory });
      for (let at = 0; at < 20; at++) {
        sent.push(await world.append(messageItem(made.conversationId, made.ben)));
      }
    }
    rmSync(join(directory, "message"), { recursive: true });
    renameSync(old, join(directory, "message"));
    await using world = await openMessageWorld({ directory });
    assert.equal(await lastSeq(world, made.conversationId, made.ann), 22, "as soon as it started");
    const again = await world.append(messageItem(made.conversationId, made.ann));
    assert.equal(again.seq, 23n);
    const { messages } = await world.messages.listMessages(
      { conversationId: made.conversationId, direction: ReadDirection.NEWER, fromSeq: 2n },
      asDevice(made.ann),
    );
    assert.deepEqual(
      messages.slice(0, 20).map(({ seq, messageId }) => [seq, messageId]),
      sent.map(({ seq, messageId }) => [seq, messageId]),
    );
  });

  it("stands still at a record that needs newer rules, and says so; other partitions go on", async () => {
    await using world = await openMessageWorld({ log: { partitionCount: 2 } });
    const pairs = await Promise.all(Array.from({ length: 12 }, () => pair(world)));
    const inPartition = (partition: number) => {
      const found = pairs.find(
        ({ conversationId }) => partitionOf(conversationId, 2) === partition,
      );
      assert.ok(found, "12 random ids fall into both partitions");
      return found;
    };
    const [stopped, free] = [inPartition(0), inPartition(1)];
    const newer = create(ConversationRecordSchema, {
      rulesVersion: 2,
      conversationId: stopped.conversationId,
    });
    await world.log.append("messages", 0, toBinary(ConversationRecordSchema, newer));
    await until(() => !world.health.serving);
    const refused = world.append(messageItem(stopped.conversationId, stopped.ann));
    await assert.rejects(refused, (error) => {
      assert.ok(error instanceof ConnectError);
      return error.code === Code.Unavailable;
    });
    const component = world.health.get("message partition 0");
    assert.match(component?.reason ?? "", /version 2 of the rules. Finish the deploy/);
    assert.equal((await world.append(messageItem(free.conversationId, free.ann))).seq, 2n);
    assert.equal(await lastSeq(world, stopped.conversationId, stopped.ann), 1, "still readable");
  });

  it("takes no more appends when it drains, and answers those at work", async () => {
    await using world = await openMessageWorld();
    const made = await pair(world);
    const sent = Array.from({ length: 50 }, () =>
      world.append(messageItem(made.conversationId, made.ann)),
    );
    await new Promise((resolve) => setImmediate(resolve));
    await world.service.drain();
    const outcomes = await Promise.allSettled(sent);
    const places = outcomes.flatMap((outcome) =>
      outcome.status === "fulfilled" ? [Number(outcome.value.seq)] : [],
    );
    assert.deepEqual(
      places.toSorted((a, b) => a - b),
      places.map((_, at) => at + 2),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") assert.equal(reasonOf(outcome.reason), "STREAM_LOST");
    }
  });

  it("drains until no append is unanswered", async () => {
    await using world = await openMessageWorld();
    const made = await pair(world);
    const [blocked, appending] = [createDeferred<void>(), createDeferred<void>()];
    const { append } = world.log;
    // The log takes its time: the record is on its way, and nothing of it waits for fan-out yet.
    world.log.append = async (...record) => {
      appending.resolve();
      await blocked.promise;
      return append.apply(world.log, record);
    };
    const sent = world.append(messageItem(made.conversationId, made.ann));
    await appending.promise;
    let drained = false;
    const draining = world.service.drain().then(() => {
      drained = true;
    });
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(drained, false, "an append has no answer");
    blocked.resolve();
    await draining;
    assert.equal((await sent).seq, 2n);
    assert.deepEqual(seqsOf(world), [1, 2]);
  });

  it("drains no longer than it is given", async () => {
    await using world = await openMessageWorld();
    const made = await pair(world);
    await until(() => seqsOf(world).length === 1);
    const appending = createDeferred<void>();
    world.log.append = () => {
      appending.resolve();
      return new Promise(() => undefined);
    };
    const refused = assert.rejects(world.append(messageItem(made.conversationId, made.ann)));
    await appending.promise;
    await world.service.drain(20);
    await world[Symbol.asyncDispose]();
    await refused;
  });

  it("counts what it does", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben], ConversationKind.GROUP));
    const clientMessageId = newUuid();
    for (let at = 0; at < 2; at++) {
      await world.append(messageItem(conversationId, ann, { clientMessageId }));
    }
    await assert.rejects(world.append(messageItem(conversationId, newUuid())));
    await world.service.drain();
    const text = await world.telemetry.metrics.renderMetrics();
    for (const line of [
      'parley_message_appended_total{kind="message"} 2',
      'parley_message_appended_total{kind="change"} 1',
      'parley_message_applied_total{outcome="accepted"} 2',
      'parley_message_applied_total{outcome="duplicate"} 1',
      'parley_message_refused_total{reason="CONVERSATION_NOT_FOUND"} 1',
      'parley_message_cache_lookups_total{result="hit"} 2',
    ]) {
      assert.ok(text.includes(line), `${line}\nis not in\n${text}`);
    }
  });
});
