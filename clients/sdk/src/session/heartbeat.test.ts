import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { createHeartbeat } from "./heartbeat.ts";

test("a heartbeat beats, reports silence once, and does not judge after a sleep", () => {
  mock.timers.enable({ apis: ["setInterval"] });
  let nowMs = 0;
  let beats = 0;
  let silences = 0;
  const heartbeat = createHeartbeat({
    intervalMs: 5_000,
    silenceMsMin: 10_000,
    now: () => nowMs,
    beat: () => beats++,
    onSilence: () => silences++,
  });
  const pass = (ms: number) => {
    nowMs += ms;
    mock.timers.tick(5_000);
  };
  pass(5_000);
  pass(5_000);
  heartbeat.heard();
  assert.deepEqual([beats, silences], [2, 0]);
  // A laptop slept for an hour: the tick after it only asks again.
  pass(3_600_000);
  assert.deepEqual([beats, silences], [3, 0]);
  pass(5_000);
  pass(5_000);
  pass(5_000);
  assert.deepEqual([beats, silences], [6, 0]);
  pass(5_000);
  pass(5_000);
  assert.deepEqual([beats, silences], [6, 1]);
  heartbeat.stop();
  mock.timers.reset();
});
