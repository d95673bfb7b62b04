/** `grpc.health.v1.Health`, for load balancers, orchestrators and `grpcurl`. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type HealthCheckResponseSchema,
  Health as HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from "@parley/gen/grpc/health/v1/health_pb";
import { createAsyncQueue } from "../async/queue.ts";
import type { Health } from "../health.ts";
import { defineRoute, type Route } from "./route.ts";

type Answer = MessageInitShape<typeof HealthCheckResponseSchema>;

/** Components that one answer of `List` names; the specification asks for an error above it. */
const LIST_MAX = 100;

/**
 * The health service over a registry. The empty name is the whole process; another name is a component,
 * or one of `serviceNames` (which serves while the process does).
 */
export function healthRoute(health: Health, serviceNames: readonly string[] = []): Route {
  const names = new Set(serviceNames);
  const statusOf = (name: string) => {
    if (name === "" || names.has(name)) return toStatus(health.serving);
    const component = health.get(name);
    return component === undefined ? Status.SERVICE_UNKNOWN : toStatus(component.serving);
  };
  return defineRoute(HealthService, {
    check(request): Answer {
      const status = statusOf(request.service);
      // The specification's own answer; it has no place for a reason of ours.
      if (status === Status.SERVICE_UNKNOWN) {
        throw new ConnectError(`${request.service} is unknown`, Code.NotFound);
      }
      return { status };
    },
    async *watch(request, context): AsyncGenerator<Answer> {
      // One element is enough: a watcher that is late wants the newest state, not every state.
      const changes = createAsyncQueue<true>({ max: 1 });
      using _watch = health.watch(() => void changes.push(true));
      const onAbort = () => changes.clear();
      context.signal.addEventListener("abort", onAbort, { once: true });
      if (context.signal.aborted) return;
      let last = statusOf(request.service);
      yield { status: last };
      for await (const _ of changes) {
        const status = statusOf(request.service);
        if (status === last) continue;
        last = status;
        yield { status };
      }
    },
    list() {
      const components = health.snapshot();
      if (components.length + names.size >= LIST_MAX) {
        throw new ConnectError("too many components to list", Code.ResourceExhausted);
      }
      const statuses: Record<string, Answer> = { "": { status: statusOf("") } };
      for (const { component } of components) statuses[component] = { status: statusOf(component) };
      for (const name of names) statuses[name] = { status: statusOf(name) };
      return { statuses };
    },
  });
}

const toStatus = (serving: boolean) => (serving ? Status.SERVING : Status.NOT_SERVING);
