// Invariant 4, behind a live session's back. Goal: a session whose gateway took nothing for longer than fan-out tries
// gets what it missed as soon as the gateway goes on, without a new entry and without a reconnect; and so does one whose
// fan-out went away. Method: every part for real in one process, with the way from fan-out to the gateway in the test's
// hands, and fan-out's time too.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import type { Transport } from "@connectrpc/connect";
import { createDirectoryService } from "@parley/directory/service";
import { createFanoutService } from "@parley/fanout/service";
import { createGateway } from "@parley/gateway/service";
import { createMessageService } from "@parley/message/service";
import { createManualClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { createLifecycle } from "@parley/platform/lifecycle";
import { createSegmentLog } from "@parley/platform/log/embedded/segment-log";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import type { Routes } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createPresenceService } from "@parley/presence/service";
import { toStandaloneConfig } from "@parley/standalone/config";
import { createLateTransport } from "@parley/standalone/late-transport";
import { nextText, openPerson, record, textsOf } from "../harness/clients.ts";
import { testEnvironment } from "../harness/server.ts";

/** As the contract says: what is not acknowledged for so long is given up. */
const GIVE_UP_MS = 5000;

/** The way from fan-out to the gateway. */
class Way {
  /** While true, nothing that is sent arrives, and nothing new is opened. */
  blocked = false;
  /** Resolved when something was lost. */
  readonly lost = Promise.withResolvers<void>();
  readonly #abort = new AbortController();

  /** Ends every stream as a process does that dies. */
  tear(): void {
    this.#abort.abort();
  }

  over(transport: Transport): Transport {
    return {
      unary: (...call) => transport.unary(...call),
      stream: (method, signal, timeoutMs, header, input, values) => {
        if (this.blocked) throw unavailable("BLOCKED", "nobody answers");
        const signals = [this.#abort.signal, ...(signal === undefined ? [] : [signal])];
        const passed = this.#pass(input);
        return transport.stream(
          method,
          AbortSignal.any(signals),
          timeoutMs,
          header,
          passed,
          values,
        );
      },
    };
  }

  async *#pass<T>(input: AsyncIterable<T>): AsyncIterable<T> {
    for await (const message of input) {
      if (this.blocked) this.lost.resolve();
      else yield message;
    }
  }
}

async function startServer() {
  const dataDirectory = await mkdtemp(join(tmpdir(), "parley-missed-"));
  const config = toStandaloneConfig({ ...testEnvironment, PARLEY_DATA_DIRECTORY: dataDirectory });
  const telemetry = silentTelemetry();
  const clock = createManualClock();
  const { health } = createLifecycle({ log: telemetry.log });
  const way = new Way();
  const transports = {
    directory: createLateTransport("directory"),
    message: createLateTransport("message"),
    fanout: createLateTransport("fanout"),
    presence: createLateTransport("presence"),
    gateway: createLateTransport("gateway"),
  };
  const log = await createSegmentLog({
    directory: config.logDirectory,
    partitionCount: config.partitionCount,
    onProblem: (problem) => assert.fail(String(problem)),
  });
  const shared = { telemetry, health, log, transports };
  const presence = await createPresenceService(config.presence, shared);
  const fanout = await createFanoutService(config.fanout, {
    ...shared,
    clock,
    gatewayTransport: () => way.over(transports.gateway),
  });
  const message = await createMessageService(config.message, shared);
  const directory = await createDirectoryService(config.directory, shared);
  const gateway = await createGateway(config.gateway, shared);
  const parts = { presence, fanout, message, directory, gateway };
  for (const name of ["presence", "fanout", "message", "directory", "gateway"] as const) {
    transports[name].bind(inProcess(parts[name].routes));
    await parts[name].start();
  }
  return {
    url: `http://127.0.0.1:${gateway.address.port}`,
    clock,
    way,
    sessionIds: () => [...gateway.sessions.all()].map(({ id }) => id).sort(),
    async [Symbol.asyncDispose]() {
      for (const part of [gateway, directory, message, fanout, presence, log]) {
        await part[Symbol.asyncDispose]();
      }
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

function inProcess(routes: Routes): Transport {
  return createInProcessTransport({
    routes,
    interceptors: standardInterceptors(silentTelemetry()),
    asCaller: { kind: "internal", service: "test" },
  });
}

/** Two people who talk, each with a live session; what the second is told is recorded. */
async function startTalk(server: { readonly url: string }) {
  await using clients = new AsyncDisposableStack();
  const ann = clients.use(await openPerson(server, "ann"));
  const ben = clients.use(await openPerson(server, "ben"));
  const chat = await ann.openDirect(ben.account?.userId ?? "");
  const told = record(ben, chat.id);
  const hear = (text: string) => nextText(ben, text);
  const heard = hear("before");
  await chat.send("before").result;
  await heard;
  const owned = clients.move();
  return {
    told,
    hear,
    say: async (text: string) => void (await chat.send(text).result),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

it("a session gets what its gateway was too slow for, as soon as the gateway goes on", async () => {
  await using server = await startServer();
  await using talk = await startTalk(server);
  const sessions = server.sessionIds();
  server.way.blocked = true;
  await talk.say("missed");
  await server.way.lost.promise;
  server.clock.advance(GIVE_UP_MS);
  // Nothing is left of it but the notice: the gateway may take as long as it likes.
  server.clock.advance(GIVE_UP_MS);
  assert.deepEqual(textsOf(talk.told), ["before"]);
  const heard = talk.hear("missed");
  server.way.blocked = false;
  await heard;
  const next = talk.hear("after");
  await talk.say("after");
  await next;
  assert.deepEqual(textsOf(talk.told), ["before", "missed", "after"]);
  assert.deepEqual(server.sessionIds(), sessions, "nobody reconnected");
});

it("a session gets what a fan-out owed it that went away", async () => {
  await using server = await startServer();
  await using talk = await startTalk(server);
  const sessions = server.sessionIds();
  server.way.blocked = true;
  await talk.say("missed");
  await server.way.lost.promise;
  const heard = talk.hear("missed");
  server.way.tear();
  await heard;
  assert.deepEqual(textsOf(talk.told), ["before", "missed"]);
  assert.deepEqual(server.sessionIds(), sessions, "nobody reconnected");
});
