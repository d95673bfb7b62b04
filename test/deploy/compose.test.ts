// No test machine runs containers: what the Compose files say is held against the code that reads it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readText } from "../tidy/sources.ts";
import { checkBalancer } from "./balancer.ts";
import {
  type Compose,
  checkAddresses,
  checkDependencies,
  checkHealth,
  checkNames,
  checkProcesses,
  checkPublished,
  processesOf,
  readCompose,
} from "./compose.ts";
import { checkImage, readImage } from "./image.ts";
import { checkEngines, servedBy, serviceNames } from "./settings.ts";

const SPLIT = "deploy/docker-compose.split.yml";

const checkServed = (compose: Compose) => {
  const served = new Set(processesOf(compose).flatMap(servedBy));
  return serviceNames.filter((name) => !served.has(name)).map((name) => `nobody serves ${name}`);
};

const checks: Record<string, (compose: Compose) => string[]> = {
  "variables exist and their values are accepted": checkProcesses,
  "every service runs": checkServed,
  "addresses lead to who they name": checkAddresses,
  "dependencies exist": checkDependencies,
  "health checks ask for what is there": checkHealth,
  "published ports are listened on": checkPublished,
  "networks, volumes, files and images are named rightly": checkNames,
};

for (const path of ["docker-compose.yml", SPLIT]) {
  describe(path, () => {
    const compose = readCompose(path);
    for (const [what, check] of Object.entries(checks)) {
      it(what, () => assert.deepEqual(check(compose), []));
    }
  });
}

describe(`${SPLIT}, its engines`, () => {
  const compose = readCompose(SPLIT);

  it("are used by every process", () => {
    const processes = processesOf(compose);
    assert.equal(processes.length, 10);
    assert.deepEqual(processes.flatMap(checkEngines), []);
  });

  it("sync what they acknowledge, and evict nothing", () => {
    const { scylla, redis, kafka } = compose.services;
    assert.ok(scylla?.command?.includes("--commitlog-sync=batch"));
    assert.match(redis?.command?.join(" ") ?? "", /--appendonly yes .*noeviction/);
    assert.equal(kafka?.environment?.KAFKA_LOG_FLUSH_INTERVAL_MESSAGES, "1");
  });

  it("are the Kafka that the tests run on", () => {
    const tested = /kafka_2\.13:(\S+)/.exec(readText("scripts/engines.sh"))?.[1];
    assert.equal(compose.services.kafka?.image, `apache/kafka:${tested}`);
  });
});

describe("deploy/haproxy.cfg", () => {
  it("balances over the gateways that are there", () =>
    assert.deepEqual(checkBalancer(readCompose(SPLIT), readText("deploy/haproxy.cfg")), []));
});

describe("deploy/Dockerfile", () => {
  it("has what parley needs", () =>
    assert.deepEqual(checkImage(readImage(readText("deploy/Dockerfile"))), []));

  it("gets no secrets and no dependencies of the machine that builds it", () => {
    const ignored = readText(".dockerignore").split("\n");
    for (const path of ["deploy/.env", "**/node_modules", ".git"]) {
      assert.ok(ignored.includes(path), path);
    }
  });
});

/** Each check sees what it is for. */
describe("a Compose file that is wrong", () => {
  const faults: [says: RegExp, plant: (services: Compose["services"]) => void][] = [
    [
      /sets PARLEY_REDIS_URL, which/,
      ({ migrate }) => set(migrate, "PARLEY_REDIS_URL", "redis://x"),
    ],
    [/PARLEY_LOG_PARTITIONS is "0"/, (all) => set(all["message-1"], "PARLEY_LOG_PARTITIONS", "0")],
    [/SERVICE_TOKEN/, (all) => set(all["fanout-2"], "PARLEY_SERVICE_TOKEN", "short")],
    [/fanout-1 runs start/, (all) => assign(all["fanout-1"], { command: ["start"] })],
    [/some of presence/, (all) => assign(all["fanout-1"], { command: ["serve", "fan-out"] })],
    [/killed after 10s/, (all) => assign(all["gateway-1"], { stop_grace_period: "10s" })],
    [
      /nobody serves presence/,
      (all) => assign(all["presence-1"], { command: ["serve", "fanout"] }),
    ],
    [/names redis, which is not there/, (all) => delete all.redis],
    [/kafka:9093, where nothing/, (all) => set(all.migrate, "PARLEY_KAFKA_BROKERS", "kafka:9093")],
    [/message-2 is not at/, (all) => set(all["message-2"], "PARLEY_ADVERTISED_ADDRESS", "a:1")],
    [
      /gateway-1 does not know message-2:7400/,
      (all) => set(all["gateway-1"], "PARLEY_MESSAGE_ADDRESSES", "message-1:7400"),
    ],
    [
      /fanout-1 does not serve message/,
      (all) => set(all["gateway-1"], "PARLEY_MESSAGE_ADDRESSES", "fanout-1:7400"),
    ],
    [/shares no network/, (all) => assign(all.mysql, { networks: ["edge"] })],
    [/waits for the end of migrate/, (all) => assign(all.migrate, { restart: "always" })],
    [/which has no check/, (all) => delete all.kafka?.healthcheck],
    [
      /there is no page \/ready$/,
      (all) =>
        assign(all["gateway-1"], {
          healthcheck: {
            test: ["CMD", "node", "deploy/health.mjs", "http://127.0.0.1:8080/ready"],
          },
        }),
    ],
    [
      /nothing listens on 7401/,
      (all) =>
        assign(all["message-1"], {
          healthcheck: { test: ["CMD", "node", "deploy/health.mjs", "grpc://127.0.0.1:7401"] },
        }),
    ],
    [
      /the image does not have health\.mjs/,
      (all) => assign(all["message-1"], { healthcheck: { test: ["CMD", "node", "health.mjs"] } }),
    ],
    [/stays away/, (all) => delete all.redis?.restart],
    [/publishes 8080:8080 beyond/, (all) => assign(all.balancer, { ports: ["8080:8080"] })],
    [/8080:80, where/, (all) => assign(all.balancer, { ports: ["127.0.0.1:8080:80"] })],
    [/no network out/, (all) => assign(all.redis, { networks: ["out"] })],
    [/no volume or file \.\/ha/, (all) => assign(all.balancer, { volumes: ["./ha.cfg:/x"] })],
    [/redis:latest is not one version/, (all) => assign(all.redis, { image: "redis:latest" })],
  ];
  for (const [says, plant] of faults) {
    it(`says ${says.source}`, () => {
      const compose = structuredClone(readCompose(SPLIT));
      plant(compose.services);
      // A file in which a part is missing altogether makes more than one check speak.
      const problems = Object.values(checks).flatMap((check) => attempt(() => check(compose)));
      assert.match(problems.join("\n"), new RegExp(says.source, "m"));
    });
  }

  it("or a balancer that is", () => {
    const text = readText("deploy/haproxy.cfg");
    const planted: [RegExp, string, string][] = [
      [/gateway-2 gets nothing/, "server gateway-2 gateway-2:8080\n", "\n"],
      [/gateway-3:8080 is no gateway/, "gateway-2:8080\n", "gateway-3:8080\n"],
      [/no page \/ready$/m, "/readyz", "/ready"],
      [/no claim device/, "$.did", "$.device"],
      [/open files/, "maxconn 50000", "maxconn 100000"],
    ];
    for (const [says, from, to] of planted) {
      assert.ok(text.includes(from), from);
      const problems = checkBalancer(readCompose(SPLIT), text.replace(from, to));
      assert.match(problems.join("\n"), says);
    }
  });

  it("or an image that is", () => {
    const text = readText("deploy/Dockerfile");
    const planted: [RegExp, string, string][] = [
      [/node:24\.8\.0-bookworm-slim is not/, "node:24.9.0", "node:24.8.0"],
      [/there is no platforms to copy/, "COPY platform platform", "COPY platforms platform"],
      [/needs gateway, which is not copied/, "COPY gateway gateway", ""],
      [/leads nowhere/, "bin/parley.mjs", "bin/parley.js"],
      [/as the user node/, "USER node", ""],
      [/entrypoint/, 'ENTRYPOINT ["parley"]', ""],
      [/cannot write/, "-o node", "-o root"],
      [/development dependencies/, "--omit=dev", ""],
    ];
    for (const [says, from, to] of planted) {
      assert.ok(text.includes(from), from);
      assert.match(checkImage(readImage(text.replaceAll(from, to))).join("\n"), says);
    }
  });
});

function set(service: Compose["services"][string] | undefined, name: string, value: string): void {
  assert.ok(service);
  service.environment = { ...service.environment, [name]: value };
}

function assign(
  service: Compose["services"][string] | undefined,
  change: Compose["services"][string],
): void {
  assert.ok(service);
  Object.assign(service, change);
}

/** Checks that build on settings that cannot be read have nothing of their own to say. */
function attempt(check: () => string[]): string[] {
  try {
    return check();
  } catch (error) {
    return error instanceof Error && error.name === "ConfigError" ? [] : [String(error)];
  }
}
