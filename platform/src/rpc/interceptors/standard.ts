import type { Interceptor } from "@connectrpc/connect";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import { type AccessOptions, accessInterceptor } from "./access.ts";
import { type DeadlineOptions, deadlineInterceptor } from "./deadline.ts";
import { rulesInterceptor } from "./rules.ts";
import { telemetryInterceptor } from "./telemetry.ts";

export type StandardInterceptorOptions = AccessOptions & {
  /** Default: 10 s, at most 60 s. */
  readonly deadline?: DeadlineOptions;
};

/** Long enough for a slow disk and a retry, short enough that a person has not yet given up. */
const DEADLINE: DeadlineOptions = { defaultMs: 10_000, maxMs: 60_000 };

/**
 * The interceptors of every host, outermost first: telemetry sees every failure, the deadline covers all
 * work, and rules are checked last, so that strangers learn nothing about fields they may not send.
 */
export function standardInterceptors(
  telemetry: Telemetry,
  options: StandardInterceptorOptions = {},
): Interceptor[] {
  return [
    telemetryInterceptor(telemetry),
    deadlineInterceptor(options.deadline ?? DEADLINE),
    accessInterceptor(options),
    rulesInterceptor(),
  ];
}
