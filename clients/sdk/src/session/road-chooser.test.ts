import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RoadName } from "./road.ts";
import { createRoadChooser } from "./road-chooser.ts";

const roads = ["websocket", "connect", "long-poll"] as const;

function create(remembered?: RoadName) {
  return createRoadChooser({ roads, remembered });
}

/** Fails on the next `count` roads; returns their names, with "|" where a pause follows. */
function failures(chooser: ReturnType<typeof create>, count: number): string[] {
  return Array.from({ length: count }, () => {
    const name = chooser.next();
    return chooser.failed(name) ? `${name} |` : name;
  });
}

describe("the choice of a road", () => {
  it("goes from the best to the last, pauses, and begins again", () => {
    assert.deepEqual(failures(create(), 4), ["websocket", "connect", "long-poll |", "websocket"]);
  });

  it("begins with the road that worked in an earlier run, and tries the others at once", () => {
    assert.deepEqual(failures(create("connect"), 4), [
      "connect",
      "websocket",
      "long-poll |",
      "connect",
    ]);
  });

  it("stays with a road that worked in this run for some failures: the server may restart", () => {
    const chooser = create();
    chooser.opened("websocket");
    assert.deepEqual(failures(chooser, 5), [
      "websocket |",
      "websocket |",
      "websocket |",
      "websocket",
      "connect",
    ]);
  });

  it("leaves a road whose sessions break again and again right after opening", () => {
    const chooser = create();
    for (let index = 0; index < 2; index++) {
      assert.equal(chooser.next(), "websocket");
      chooser.opened("websocket");
      chooser.broke("websocket");
    }
    chooser.opened("websocket");
    chooser.broke("websocket");
    assert.equal(chooser.next(), "connect");
    chooser.opened("connect");
    chooser.lasted();
    assert.equal(chooser.next(), "connect");
  });

  it("knows what is better", () => {
    assert.deepEqual(create().better("long-poll"), ["websocket", "connect"]);
    assert.deepEqual(create().better("websocket"), []);
  });
});
