/** Every road that a client may take, by name. */
import type { Client } from "@connectrpc/connect";
import type { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import type { Timing } from "../timing.ts";
import { createPollRoad } from "./poll-road.ts";
import type { Road, RoadName } from "./road.ts";
import { createStreamRoad } from "./stream-road.ts";
import { createWebSocketRoad, type WebSocketConstructor } from "./websocket-road.ts";

export function createRoads(options: {
  readonly roads: readonly RoadName[];
  readonly url: string;
  readonly realtime: Client<typeof RealtimeService>;
  readonly webSocket: WebSocketConstructor | undefined;
  readonly timing: Timing;
  readonly now: () => number;
}): ReadonlyMap<RoadName, Road> {
  const create = (name: RoadName): Road => {
    if (name === "connect") return createStreamRoad(options.realtime, options.timing);
    if (name !== "websocket") return createPollRoad({ ...options, name });
    if (!options.webSocket) throw new RangeError("There is no WebSocket here.");
    return createWebSocketRoad({ ...options, webSocket: options.webSocket });
  };
  return new Map(options.roads.map((name) => [name, create(name)]));
}
