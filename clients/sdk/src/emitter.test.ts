import assert from "node:assert/strict";
import { it } from "node:test";
import { createEmitter } from "./emitter.ts";

it("an emitter calls every listener, whatever the others do", () => {
  const failures: unknown[] = [];
  const heard: string[] = [];
  const emitter = createEmitter<{ word: string; number: number }>((error) => failures.push(error));
  const offFirst = emitter.on("word", (word) => heard.push(`first ${word}`));
  emitter.on("word", () => {
    throw new RangeError("a listener's own mistake");
  });
  const again = (word: string) => heard.push(`again ${word}`);
  const offAgain = emitter.on("word", again);
  emitter.on("word", again);
  emitter.on("number", (number) => heard.push(`number ${number}`));
  emitter.emit("word", "a");
  assert.deepEqual(heard.splice(0), ["first a", "again a", "again a"]);
  assert.equal(failures.length, 1);
  offFirst();
  offAgain();
  offAgain();
  emitter.emit("word", "b");
  emitter.emit("number", 1);
  assert.deepEqual(heard.splice(0), ["again b", "number 1"]);
  emitter.clear();
  emitter.emit("word", "c");
  assert.deepEqual(heard, []);
});
