/** What operators and orchestrators ask a process over plain HTTP, wherever it is served. */
import type { OutgoingHttpHeader } from "node:http";
import { type Health, renderHealth } from "../health.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

/** What is used of a response, of HTTP/1.1 or HTTP/2. */
export type PageResponse = {
  statusCode: number;
  setHeader(name: string, value: OutgoingHttpHeader): unknown;
  end(text: string): unknown;
};

/** `/healthz`: the process answers. */
export function sendLiveness(response: PageResponse): void {
  sendText(response, 200, "ok\n");
}

/** `/readyz`: 200 or 503, with every component and its reason. */
export function sendReadiness(response: PageResponse, health: Health): void {
  sendText(response, health.serving ? 200 : 503, renderHealth(health), "application/json");
}

/** `/metrics`, for whoever may read them. Never rejects. */
export async function sendMetrics(
  response: PageResponse,
  { metrics, log }: Pick<Telemetry, "metrics" | "log">,
): Promise<void> {
  try {
    const text = await metrics.renderMetrics();
    sendText(response, 200, text, metrics.contentType);
  } catch (error) {
    log.error({ error }, "The metrics could not be rendered.");
    sendText(response, 500, "The metrics could not be rendered.\n");
  }
}

/** Answers with a small text. */
export function sendText(
  response: PageResponse,
  status: number,
  text: string,
  contentType = "text/plain; charset=utf-8",
): void {
  response.statusCode = status;
  response.setHeader("content-type", contentType);
  response.setHeader("content-length", String(Buffer.byteLength(text)));
  response.setHeader("cache-control", "no-store");
  response.setHeader("x-content-type-options", "nosniff");
  response.end(text);
}
