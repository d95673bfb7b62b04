import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  RecordHeartbeatsResponseSchema,
  RemoveSessionsResponseSchema,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { settle, testCaller } from "../testing/test-sessions.ts";
import { Registration } from "./registration.ts";
import { Session } from "./session.ts";

type State = { readonly sessionId?: string; readonly ageMs?: number };

/** A registry whose requests arrive in the order of the test's choice, as those of separate calls may. */
function createSlowRegistry() {
  const sessions = new Set<string>();
  const ages: number[] = [];
  type Waiting = { what: "heartbeats" | "removal"; ids: string[]; arrive(): void; lose(): void };
  const waiting: Waiting[] = [];
  const request = <T>(what: Waiting["what"], ids: string[], answer: () => T) =>
    new Promise<T>((resolve, reject) => {
      const lose = () => {
        answer();
        reject(new Error("the answer was lost"));
      };
      waiting.push({ what, ids, arrive: () => resolve(answer()), lose });
    });
  return {
    sessions,
    ages,
    /** What is on its way, as words. */
    get waiting() {
      return waiting.map(({ what, ids }) => `${what} of ${ids.length}`);
    },
    /** The newest request arrives, and its answer is lost. */
    async loseAnswer() {
      waiting.pop()?.lose();
      await settle(3);
    },
    /** Lets the newest request arrive first. */
    async arrive() {
      waiting.pop()?.arrive();
      await settle(3);
    },
    client: {
      recordHeartbeats: ({ sessions: states = [] }: { sessions?: State[] }) => {
        const ids = states.map(({ sessionId = "" }) => sessionId);
        ages.push(...states.map(({ ageMs = 0 }) => ageMs));
        return request("heartbeats", ids, () => {
          const newSessionIds = ids.filter((id) => !sessions.has(id));
          for (const id of ids) sessions.add(id);
          return create(RecordHeartbeatsResponseSchema, { newSessionIds });
        });
      },
      removeSessions: ({ sessionIds = [] }: { sessionIds?: string[] }) =>
        request("removal", sessionIds, () => {
          if (sessionIds.length === 0) sessions.clear();
          for (const id of sessionIds) sessions.delete(id);
          return create(RemoveSessionsResponseSchema);
        }),
    },
  };
}

function start() {
  const registry = createSlowRegistry();
  const clock = createManualClock();
  const registration = new Registration({
    registry: registry.client,
    gatewayId: newUuid(),
    gatewayAddress: "",
    clock,
    log: createSilentLogger(),
  });
  const newSession = () =>
    new Session({
      id: newUuid(),
      caller: testCaller(),
      outlet: new RecordingOutlet(),
      json: false,
      takesSubmit: false,
      nowMs: clock.monotoneMs(),
    });
  const join = async (session: Session) => {
    const joined = registration.join(session);
    await settle(2);
    await registry.arrive();
    await joined;
  };
  const leave = async (session: Session) => {
    session.state = "ended";
    registration.leave(session);
    await settle(2);
  };
  return { registry, clock, registration, newSession, join, leave };
}

describe("registration", () => {
  it("does not let heartbeats put back a session that has ended meanwhile", async () => {
    const { registry, registration, newSession, join, leave } = start();
    const [staying, leaving] = [newSession(), newSession()];
    await join(staying);
    await join(leaving);
    const ticking = registration.tick([staying, leaving]);
    await leave(leaving);
    assert.deepEqual(registry.waiting, ["heartbeats of 2"], "the removal waits for them");
    await registry.arrive();
    await ticking;
    assert.deepEqual(registry.waiting, ["removal of 1"]);
    await registry.arrive();
    assert.deepEqual([...registry.sessions], [staying.id]);
  });

  it("takes sessions as lost whose heartbeat may have been new to the registry, once", async () => {
    const { registry, registration, newSession, join } = start();
    const [one, other] = [newSession(), newSession()];
    await join(one);
    await join(other);
    registry.sessions.clear();
    const failing = registration.tick([one, other]);
    await registry.loseAnswer();
    assert.deepEqual(await failing, []);
    const tick = async () => {
      const ticking = registration.tick([one, other]);
      await registry.arrive();
      return (await ticking).map(({ id }) => id);
    };
    assert.deepEqual(await tick(), [one.id, other.id]);
    assert.deepEqual(await tick(), []);
  });

  it("does not wait for heartbeats that were made after the end", async () => {
    const { registry, registration, newSession, join, leave } = start();
    const [staying, leaving] = [newSession(), newSession()];
    await join(staying);
    await join(leaving);
    await leave(leaving);
    const ticking = registration.tick([staying]);
    assert.deepEqual(registry.waiting, ["removal of 1", "heartbeats of 1"]);
    await registry.arrive();
    await registry.arrive();
    await ticking;
    assert.deepEqual([...registry.sessions], [staying.id]);
  });

  it("does not register what has ended before its turn came", async () => {
    const { registry, registration, newSession } = start();
    const session = newSession();
    const joined = registration.join(session);
    session.state = "ended";
    registration.leave(session);
    await joined;
    await settle(2);
    assert.deepEqual(registry.waiting, ["removal of 1"]);
  });

  it("takes all sessions out at the end, behind the heartbeats on their way, and then says nothing", async () => {
    const { registry, registration, newSession, join } = start();
    const session = newSession();
    await join(session);
    const ticking = registration.tick([session]);
    const closing = registration.close();
    await settle(2);
    assert.deepEqual(registry.waiting, ["heartbeats of 1"]);
    await registry.arrive();
    await ticking;
    await registry.arrive();
    await closing;
    assert.equal(registry.sessions.size, 0);
    await registration.tick([session]);
    await assert.rejects(registration.join(newSession()));
    assert.deepEqual(registry.waiting, []);
  });

  it("tells an age that the registry can hold, however long a client was silent", async () => {
    const { registry, clock, registration, newSession, join } = start();
    const session = newSession();
    await join(session);
    clock.advance(100 * 24 * 3_600_000);
    const ticking = registration.tick([session]);
    await registry.arrive();
    await ticking;
    assert.deepEqual(registry.ages, [0, 2 ** 32 - 1]);
  });
});
