import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../clock.ts";
import { createHealth } from "../health.ts";
import { createLogHealth, LOG_RETRY_MS } from "./log-health.ts";
import { LogOverloadedError, LogUnavailableError } from "./port.ts";

function createRig() {
  const clock = createManualClock();
  const health = createHealth();
  const log = createLogHealth({ health, clock });
  const shown = () => {
    const { serving, reason } = health.get("log") ?? {};
    return { serving, reason };
  };
  return { clock, log, shown };
}

const SERVES = { serving: true, reason: "" };

test("a failed append shows, and a good one takes it back", () => {
  const { log, shown, clock } = createRig();
  assert.deepEqual(shown(), SERVES);
  log.appendFailed(new LogUnavailableError("no broker answers"));
  assert.deepEqual(shown(), {
    serving: false,
    reason: "The log did not take a record: no broker answers",
  });
  log.appended();
  assert.deepEqual(shown(), SERVES);
  assert.equal(clock.timerCount, 0, "its timer is gone with it");
});

test("without traffic, a passing failure is forgotten, so that the next message may try", () => {
  const { log, shown, clock } = createRig();
  log.appendFailed(new LogUnavailableError("first"));
  clock.advance(LOG_RETRY_MS - 1);
  log.appendFailed(new LogUnavailableError("second"));
  clock.advance(LOG_RETRY_MS - 1);
  assert.match(shown().reason ?? "", /second/);
  clock.advance(1);
  assert.deepEqual(shown(), SERVES);
});

test("overload and our own bugs say nothing about the log", () => {
  const { log, shown } = createRig();
  log.appendFailed(new LogOverloadedError("full"));
  log.appendFailed(new RangeError("no such partition"));
  assert.deepEqual(shown(), SERVES);
});

test("a log that stopped stays so, with its first reason", () => {
  const { log, shown, clock } = createRig();
  log.stopped("disk full");
  log.stopped("later");
  log.appendFailed(new LogUnavailableError("read-only"));
  log.appended();
  clock.advance(LOG_RETRY_MS * 2);
  assert.deepEqual(shown(), { serving: false, reason: "disk full" });
});

test("a place that cannot be read shows until it was read", () => {
  const { log, shown } = createRig();
  log.damaged("fanout/3", "fanout/3 is damaged");
  log.damaged("messages/1", "messages/1 is damaged");
  log.appended();
  log.delivered("messages/2");
  assert.equal(shown().reason, "fanout/3 is damaged");
  log.delivered("fanout/3");
  assert.equal(shown().reason, "messages/1 is damaged");
  log.delivered("messages/1");
  assert.deepEqual(shown(), SERVES);
});
