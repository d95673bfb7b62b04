/** The Kubernetes example, and what can be wrong with it. */
import { parseAllDocuments } from "yaml";
import { listFiles, readText } from "../tidy/sources.ts";
import { readImage } from "./image.ts";
import {
  addressesIn,
  checkSettings,
  configOf,
  isPage,
  type Process,
  servedBy,
} from "./settings.ts";

type Labels = Record<string, string>;
type Probe = {
  grpc?: { port: number };
  tcpSocket?: { port: string };
  httpGet?: { path: string; port: string };
};
type Container = {
  image: string;
  args: string[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  env?: {
    name: string;
    value?: string;
    valueFrom?: { secretKeyRef?: { name: string; key: string } };
  }[];
  ports?: { name: string; containerPort: number }[];
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop?: { exec: { command: string[] } } };
};
type PodSpec = {
  terminationGracePeriodSeconds?: number;
  securityContext?: { runAsNonRoot?: boolean };
  containers: Container[];
};
export type Resource = {
  kind: string;
  /** Without a name in a kustomization, which has none. */
  metadata: { name: string };
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  resources?: string[];
  images?: { name: string; newTag: string }[];
  spec?: {
    replicas?: number;
    clusterIP?: string;
    sessionAffinity?: string;
    selector?: Labels & { matchLabels?: Labels };
    maxUnavailable?: number;
    ports?: { name: string; port: number; targetPort: string }[];
    template?: { metadata: { labels: Labels }; spec: PodSpec };
  };
};

const FOLDER = "deploy/kubernetes";
const NAMESPACE = "parley";
const POD_IP = "10.244.1.7";
const image = readImage(readText("deploy/Dockerfile"));

export function readResources(): Resource[] {
  return listFiles(FOLDER)
    .filter((path) => path.endsWith(".yaml"))
    .flatMap((path) =>
      parseAllDocuments(readText(path)).map((document) => {
        for (const error of document.errors) throw new Error(`${path}: ${error.message}`);
        const resource = document.toJS() as Omit<Resource, "metadata"> & Partial<Resource>;
        return { ...resource, metadata: resource.metadata ?? { name: "" } };
      }),
    );
}

const named = (resources: readonly Resource[], kind: string, name: string | undefined) =>
  resources.find((resource) => resource.kind === kind && resource.metadata.name === name);

/** Deployments and jobs, each as the process that its pods run. Throws for a name that leads nowhere. */
export function podsOf(resources: readonly Resource[]): (Process & { readonly of: Resource })[] {
  return resources.flatMap((of) => {
    const container = of.spec?.template?.spec.containers[0];
    if (container === undefined) return [];
    const name = of.metadata.name;
    const environment: Record<string, string> = { ...image.environment };
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      const source =
        configMapRef === undefined
          ? named(resources, "Secret", secretRef?.name)?.stringData
          : named(resources, "ConfigMap", configMapRef.name)?.data;
      if (source === undefined)
        throw new Error(`${name}: ${JSON.stringify(configMapRef)} is missing`);
      Object.assign(environment, source);
    }
    for (const { name: variable, value, valueFrom } of container.env ?? []) {
      const key = valueFrom?.secretKeyRef;
      const secret = named(resources, "Secret", key?.name)?.stringData?.[key?.key ?? ""];
      if (key !== undefined && secret === undefined) {
        throw new Error(`${name}: there is no secret ${key.name}/${key.key}`);
      }
      environment[variable] = (value ?? secret ?? POD_IP).replace("$(POD_IP)", POD_IP);
    }
    return [{ of, name, args: container.args, environment }];
  });
}

export function checkPods(resources: readonly Resource[]): string[] {
  return podsOf(resources).flatMap((pod) => {
    const problems = checkSettings(pod);
    if (problems.length > 0) return problems;
    const { spec } = pod.of.spec?.template ?? {};
    if (spec?.securityContext?.runAsNonRoot !== true) problems.push(`${pod.name} may run as root`);
    if (servedBy(pod).length === 0) return problems;
    const config = configOf(pod);
    const { split } = config;
    if (split?.advertisedAddress !== `${POD_IP}:${split?.listen.port}`) {
      problems.push(`${pod.name} is not called by its pod's own address`);
    }
    const pause = spec?.containers[0]?.lifecycle?.preStop?.exec.command[1] ?? "0";
    const graceMs = (spec?.terminationGracePeriodSeconds ?? 30) * 1000;
    if (graceMs <= config.drainMs + Number(pause) * 1000) {
      problems.push(`${pod.name} is killed before it has drained`);
    }
    return problems;
  });
}

/** Names of our namespace lead to headless services, whose pods serve what is asked of them. */
export function checkServiceAddresses(resources: readonly Resource[]): string[] {
  return podsOf(resources).flatMap((pod) =>
    addressesIn(pod.environment)
      .filter(({ variable }) => variable.endsWith("_ADDRESSES"))
      .flatMap(({ variable, address }) => {
        const [host = "", port] = address.split(":");
        const [name, namespace] = host.split(".");
        const service = named(resources, "Service", name);
        if (service === undefined || namespace !== NAMESPACE) {
          return [`${variable}: there is no service ${host}`];
        }
        if (service.spec?.clusterIP !== "None") return [`${name} hides its instances`];
        if (!service.spec.ports?.some((each) => each.port === Number(port))) {
          return [`${variable}: ${name} has no port ${port}`];
        }
        const wanted = /^PARLEY_(\w+)_ADDRESSES$/.exec(variable)?.[1]?.toLowerCase() ?? "";
        const behind = podsOf(resources).filter(({ of }) => selects(service, of));
        const serves = behind.some((other) => servedBy(other).includes(wanted));
        return serves ? [] : [`${variable}: ${name} does not serve ${wanted}`];
      }),
  );
}

/** Whether a service or a budget is about these pods. */
function selects({ spec }: Resource, { spec: other }: Resource): boolean {
  const wanted = spec?.selector?.matchLabels ?? spec?.selector ?? {};
  const labels = other?.template?.metadata.labels ?? {};
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

/** Selectors find pods, ports are listened on, probes ask for what is there. */
export function checkReferences(resources: readonly Resource[]): string[] {
  const pods = podsOf(resources);
  const problems: string[] = [];
  for (const resource of resources) {
    const { kind, metadata, spec } = resource;
    if (kind !== "Service" && kind !== "PodDisruptionBudget") continue;
    const found = pods.filter(({ of }) => selects(resource, of));
    if (found.length !== 1)
      problems.push(`${kind} ${metadata.name} is about ${found.length} kinds`);
    const ports = found[0]?.of.spec?.template?.spec.containers[0]?.ports ?? [];
    for (const { targetPort } of spec?.ports ?? []) {
      if (!ports.some(({ name }) => name === targetPort)) {
        problems.push(`Service ${metadata.name}: there is no port ${targetPort}`);
      }
    }
  }
  for (const pod of pods.filter(({ of }) => of.kind === "Deployment")) {
    const budget = resources.find(
      (each) => each.kind === "PodDisruptionBudget" && selects(each, pod.of),
    );
    if (budget === undefined) problems.push(`${pod.name} has no disruption budget`);
    problems.push(...checkProbes(pod));
  }
  return problems;
}

function checkProbes({ name, of, ...process }: Process & { readonly of: Resource }): string[] {
  const container = of.spec?.template?.spec.containers[0];
  const { readinessProbe: ready, livenessProbe: alive, ports = [] } = container ?? {};
  const { split, gateway } = configOf({ name, ...process });
  const listens: (number | undefined)[] = [split?.listen.port];
  if (process.args.includes("gateway")) listens.push(gateway.port);
  const problems = ports
    .filter(({ containerPort }) => !listens.includes(containerPort))
    .map(({ containerPort }) => `${name}: nothing listens on ${containerPort}`);
  if (ready?.grpc === undefined && ready?.httpGet?.path !== "/readyz") {
    problems.push(`${name} does not say when it is ready`);
  }
  if (ready?.grpc !== undefined && ready.grpc.port !== split?.listen.port) {
    problems.push(`${name}: nothing listens on ${ready.grpc.port}`);
  }
  for (const probe of [ready, alive]) {
    const { path, port } = probe?.httpGet ?? {};
    if (path !== undefined && !isPage(path)) problems.push(`${name}: no page ${path}`);
    const wanted = port ?? probe?.tcpSocket?.port;
    if (wanted !== undefined && !ports.some((each) => each.name === wanted)) {
      problems.push(`${name}: there is no port ${wanted}`);
    }
  }
  return problems;
}

/** The kustomization names every file but the secret, and the image that the pods run. */
export function checkKustomization(resources: readonly Resource[]): string[] {
  const { resources: listed = [], images = [] } =
    resources.find(({ kind }) => kind === "Kustomization") ?? {};
  const files = listFiles(FOLDER)
    .map((path) => path.slice(FOLDER.length + 1))
    .filter((name) => name.endsWith(".yaml") && !/^(kustomization|secret\.example)\./.test(name));
  const used = podsOf(resources).map(({ of }) => of.spec?.template?.spec.containers[0]?.image);
  return [
    ...files.filter((name) => !listed.includes(name)).map((name) => `${name} is not applied`),
    ...listed.filter((name) => !files.includes(name)).map((name) => `there is no ${name}`),
    ...[...new Set(used)]
      .filter((text) => !images.some(({ name, newTag }) => text === `${name}:${newTag}`))
      .map((text) => `${text} is in no registry`),
  ];
}
