/** What operators and orchestrators ask over plain HTTP. */
import type { Health } from "@parley/platform/health";
import {
  sendLiveness,
  sendMetrics,
  sendReadiness,
  sendText,
} from "@parley/platform/http/health-pages";
import { bearerToken, secretsEqual } from "@parley/platform/rpc/access";
import type { EdgeRequest, EdgeResponse } from "@parley/platform/rpc/edge-host";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { Addresses } from "./addresses.ts";
import type { RateLimits } from "./rate-limits.ts";

export type HttpPagesDependencies = {
  readonly health: Health;
  readonly telemetry: Telemetry;
  readonly addresses: Addresses;
  readonly operatorToken: string | undefined;
  readonly limits: Pick<RateLimits, "assertMayAuthenticate" | "countFailure">;
};

/** Answers a request if it is for one of the pages; false if it is somebody else's. */
export type HttpPages = (path: string, request: EdgeRequest, response: EdgeResponse) => boolean;

export function createHttpPages(dependencies: HttpPagesDependencies): HttpPages {
  const { health, telemetry, addresses, operatorToken, limits } = dependencies;

  /** The status that refuses the metrics; 200 for who may read them. */
  const metricsStatus = ({ socket, headers }: EdgeRequest): number => {
    if (addresses.isLoopback(socket.remoteAddress, headers)) return 200;
    const token = bearerToken(headers.authorization ?? null);
    if (operatorToken === undefined || token === undefined) return 403;
    const address = addresses.clientAddress(socket.remoteAddress, headers);
    try {
      limits.assertMayAuthenticate(address);
    } catch {
      return 429;
    }
    if (secretsEqual(token, operatorToken)) return 200;
    limits.countFailure(address);
    return 403;
  };

  return (path, request, response) => {
    switch (path) {
      case "/healthz":
        sendLiveness(response);
        return true;
      case "/readyz":
        sendReadiness(response, health);
        return true;
      case "/metrics": {
        const status = metricsStatus(request);
        if (status === 200) void sendMetrics(response, telemetry);
        else if (status === 429) sendText(response, status, "Too many wrong tokens.\n");
        else sendText(response, status, "Metrics need the operator's token.\n");
        return true;
      }
      default:
        return false;
    }
  };
}
