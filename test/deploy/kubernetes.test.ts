// No test machine runs Kubernetes: what the example says is held against the code that reads it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  checkKustomization,
  checkPods,
  checkReferences,
  checkServiceAddresses,
  podsOf,
  type Resource,
  readResources,
} from "./kubernetes.ts";
import { checkEngines, servedBy, serviceNames } from "./settings.ts";

const checks: Record<string, (resources: readonly Resource[]) => string[]> = {
  "variables exist, their values are accepted, and there is time to drain": checkPods,
  "addresses lead to who they name": checkServiceAddresses,
  "selectors, ports, probes and budgets are about what is there": checkReferences,
  "everything is applied": checkKustomization,
};

describe("deploy/kubernetes", () => {
  const resources = readResources();
  for (const [what, check] of Object.entries(checks)) {
    it(what, () => assert.deepEqual(check(resources), []));
  }

  it("runs every service, on engines", () => {
    const pods = podsOf(resources);
    assert.deepEqual([...pods.flatMap(servedBy)].sort(), [...serviceNames].sort());
    assert.deepEqual(pods.flatMap(checkEngines), []);
    assert.ok(pods.some(({ of, args }) => of.kind === "Job" && args[0] === "migrate"));
  });

  it("sends a client's calls to one gateway", () => {
    const service = resources.find(
      ({ kind, metadata }) => kind === "Service" && metadata.name === "public",
    );
    assert.equal(service?.spec?.sessionAffinity, "ClientIP");
  });
});

describe("a Kubernetes example that is wrong", () => {
  const find = (all: Resource[], kind: string, name: string): Resource => {
    const found = all.find((each) => each.kind === kind && each.metadata.name === name);
    assert.ok(found);
    return found;
  };
  const container = (all: Resource[], name: string, kind = "Deployment") => {
    const found = find(all, kind, name).spec?.template?.spec.containers[0];
    assert.ok(found);
    return found;
  };
  const settings = (all: Resource[], name: string) => find(all, "ConfigMap", name).data ?? {};
  const faults: [says: RegExp, plant: (all: Resource[]) => void][] = [
    [/PARLEY_KAFKA, which no code/, (all) => (settings(all, "parley-engines").PARLEY_KAFKA = "x")],
    [
      /PARLEY_DRAIN_TIMEOUT is "soon"/,
      (all) => (settings(all, "parley-services").PARLEY_DRAIN_TIMEOUT = "soon"),
    ],
    [
      /message is killed before/,
      (all) => (settings(all, "parley-services").PARLEY_DRAIN_TIMEOUT = "45s"),
    ],
    [/gateway is not called by/, (all) => advertise(container(all, "gateway"))],
    [
      /no service messages\.parley/,
      (all) => (settings(all, "parley-services").PARLEY_MESSAGE_ADDRESSES = "messages.parley:7400"),
    ],
    [
      /fanout does not serve message/,
      (all) => (settings(all, "parley-services").PARLEY_MESSAGE_ADDRESSES = "fanout.parley:7400"),
    ],
    [
      /message has no port 7401/,
      (all) => (settings(all, "parley-services").PARLEY_MESSAGE_ADDRESSES = "message.parley:7401"),
    ],
    [/message hides/, (all) => delete find(all, "Service", "message").spec?.clusterIP],
    [/there is no secret parley\/X/, (all) => key(container(all, "migrate", "Job"))],
    [
      /fanout: nothing listens on 7401/,
      (all) => (container(all, "fanout").readinessProbe = { grpc: { port: 7401 } }),
    ],
    [/fanout does not say/, (all) => delete container(all, "fanout").readinessProbe],
    [
      /gateway: no page \/health$/,
      (all) =>
        (container(all, "gateway").livenessProbe = {
          httpGet: { path: "/health", port: "public" },
        }),
    ],
    [/Service public is about 0/, (all) => select(find(all, "Service", "public"), "gateways")],
    [/directory has no disruption/, (all) => drop(all, "PodDisruptionBudget", "directory")],
    [/public: there is no port public/, (all) => container(all, "gateway").ports?.pop()],
    [
      /message\.yaml is not applied/,
      (all) => find(all, "Kustomization", "").resources?.splice(5, 1),
    ],
    [/parley:latest is in no/, (all) => (container(all, "presence").image = "parley:latest")],
  ];
  for (const [says, plant] of faults) {
    it(`says ${says.source}`, () => {
      const resources = readResources();
      plant(resources);
      const problems = Object.values(checks).flatMap((check) => attempt(() => check(resources)));
      assert.match(problems.join("\n"), new RegExp(says.source, "m"));
    });
  }

  function key({ env }: ReturnType<typeof container>): void {
    const secret = env?.[0]?.valueFrom?.secretKeyRef;
    assert.ok(secret);
    secret.key = "X";
  }

  function advertise({ env }: ReturnType<typeof container>): void {
    const variable = env?.find(({ name }) => name === "PARLEY_ADVERTISED_ADDRESS");
    assert.ok(variable);
    variable.value = "gateway.parley:7400";
  }

  function select({ spec }: Resource, component: string): void {
    assert.ok(spec);
    spec.selector = { "app.kubernetes.io/component": component };
  }

  function drop(all: Resource[], kind: string, name: string): void {
    all.splice(all.indexOf(find(all, kind, name)), 1);
  }

  function attempt(check: () => string[]): string[] {
    try {
      return check();
    } catch (error) {
      return [String(error)];
    }
  }
});
