/** What every RPC passes at the edge, outermost first. */
import type { DescMethod } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { accessInterceptor } from "@parley/platform/rpc/interceptors/access";
import { deadlineInterceptor } from "@parley/platform/rpc/interceptors/deadline";
import { rulesInterceptor } from "@parley/platform/rpc/interceptors/rules";
import { telemetryInterceptor } from "@parley/platform/rpc/interceptors/telemetry";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { type Authenticator, tokenInterceptor } from "./authenticator.ts";
import {
  addressLimitInterceptor,
  operatorLimitInterceptor,
  type RateLimits,
  rateLimitInterceptor,
} from "./rate-limits.ts";

export type EdgeInterceptorsOptions = {
  readonly telemetry: Telemetry;
  readonly authenticator: Authenticator;
  readonly limits: RateLimits;
  readonly operatorToken: string | undefined;
};

const DEADLINE = { defaultMs: 10_000, maxMs: 60_000 };
/** A long poll waits up to 30 seconds by contract, and then still has to be answered. */
const POLL_DEADLINE = { defaultMs: 45_000, maxMs: 60_000 };

export function edgeInterceptors(options: EdgeInterceptorsOptions): Interceptor[] {
  const { telemetry, authenticator, limits, operatorToken } = options;
  const { poll, connect } = RealtimeService.method;
  return [
    telemetryInterceptor(telemetry),
    choose(poll, deadlineInterceptor(POLL_DEADLINE), deadlineInterceptor(DEADLINE)),
    addressLimitInterceptor(limits),
    tokenInterceptor(authenticator),
    operatorLimitInterceptor(limits),
    accessInterceptor({ operatorToken }),
    rateLimitInterceptor(limits),
    // The frames of a session are checked one by one: a bad one is refused, and the session goes on.
    choose(connect, (next) => next, rulesInterceptor()),
  ];
}

/** One interceptor for one RPC, another for all others. */
function choose(method: DescMethod, one: Interceptor, others: Interceptor): Interceptor {
  const name = nameOf(method);
  return (next) => {
    const nextOfOne = one(next);
    const nextOfOthers = others(next);
    return (request) => (nameOf(request.method) === name ? nextOfOne : nextOfOthers)(request);
  };
}

const nameOf = (method: DescMethod) => `${method.parent.typeName}/${method.name}`;
