/** Every HTTP request of the port: pages, then cross-origin rules, then RPCs, then static files. */

import { sendText } from "@parley/platform/http/health-pages";
import type { EdgeHandler, EdgeRequest, EdgeResponse } from "@parley/platform/rpc/edge-host";
import type { HttpPages } from "./http-pages.ts";
import { corsHeaders, type Origins, preflightHeaders } from "./origins.ts";
import { runMetered } from "./request-meter.ts";

export type RequestHandlerDependencies = {
  readonly pages: HttpPages;
  readonly origins: Origins;
  readonly rpc: EdgeHandler;
  /** True once connections should not be kept for further requests. */
  readonly isDraining: () => boolean;
};

/** Tokens of 8 KiB and a browser's own headers fit. */
export const HEADER_BYTES_MAX = 16 * 1024;
/** A body that is still not there after this time is not coming; streams of frames are exempt. */
const BODY_MS_MAX = 60_000;
const STREAMING_PATHS = new Set(["/parley.realtime.v1.RealtimeService/Connect"]);

export function createRequestHandler(dependencies: RequestHandlerDependencies): EdgeHandler {
  const { pages, origins, rpc, isDraining } = dependencies;
  return (request, response) => {
    const path = pathOf(request);
    // HTTP/2 connections say goodbye by themselves.
    if (isDraining() && !("stream" in request)) response.setHeader("connection", "close");
    if (headerBytes(request) > HEADER_BYTES_MAX) {
      sendText(response, 431, "The headers are too large.\n");
      return;
    }
    if (pages(path, request, response)) return;
    const host = hostOf(request);
    if (host === undefined || !URL.canParse(`http://${host}`)) {
      sendText(response, 400, "The host is no host.\n");
      return;
    }
    if (request.method === "GET" && brokenBase64(request.url ?? "")) {
      sendText(response, 400, "The message is not base64.\n");
      return;
    }
    dropRest(request, response);
    const { origin } = request.headers;
    const decision = origins.decide(origin, hostOf(request));
    if (decision === "refused") {
      sendText(response, 403, "Pages of this origin may not use this server.\n");
      return;
    }
    if (request.method === "OPTIONS" && origin !== undefined) {
      response.statusCode = 204;
      setHeaders(response, preflightHeaders(origin));
      response.end();
      return;
    }
    if (origin !== undefined) setHeaders(response, corsHeaders(origin));
    boundBody(path, request);
    runMetered(request, response, () => rpc(request, response));
  };
}

/** HTTP/1.1 refuses large headers by itself; HTTP/2 only asks its clients not to send them. */
function headerBytes(request: EdgeRequest): number {
  if (!("stream" in request)) return 0;
  return request.rawHeaders.reduce((sum, text) => sum + text.length, 0);
}

/** What is no RPC: the static files, or nothing. */
export function createFallback(
  staticFiles: ((request: EdgeRequest, response: EdgeResponse) => boolean) | undefined,
): (request: EdgeRequest, response: EdgeResponse) => void {
  return (request, response) => {
    if (staticFiles?.(request, response) === true) return;
    sendText(response, 404, "There is nothing here.\n");
  };
}

function setHeaders(response: EdgeResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}

/** The path of a request without its query. */
export function pathOf(request: { readonly url?: string | undefined }): string {
  const url = request.url ?? "/";
  const query = url.indexOf("?");
  return query < 0 ? url : url.slice(0, query);
}

/** The host that the client asked for; HTTP/2 has it in a pseudo-header. */
export function hostOf(request: Pick<EdgeRequest, "headers">): string | undefined {
  const authority = request.headers[":authority"];
  return typeof authority === "string" ? authority : request.headers.host;
}

/** HTTP/1.1 has a limit of its own for this; an HTTP/2 stream would stay open with its connection. */
function boundBody(path: string, request: EdgeRequest): void {
  if (!("stream" in request) || STREAMING_PATHS.has(path) || request.complete) return;
  const { stream } = request;
  const timer = setTimeout(() => stream.close(), BODY_MS_MAX);
  timer.unref();
  request.once("end", () => clearTimeout(timer));
  request.once("close", () => clearTimeout(timer));
}

/** What is left of a body that was refused is read and dropped: otherwise its connection takes no further request. */
function dropRest(request: EdgeRequest, response: EdgeResponse): void {
  if ("stream" in request) return; // HTTP/2 resets the stream, and the connection goes on
  request[Symbol.asyncIterator] = () => request.iterator({ destroyOnReturn: false });
  response.once("finish", () => {
    if (request.complete) return;
    request.removeAllListeners("readable");
    request.resume();
  });
}

/** A GET of an RPC carries its message in the query. */
function brokenBase64(url: string): boolean {
  const at = url.indexOf("?");
  if (at < 0 || !url.includes("base64=1")) return false;
  const message = new URLSearchParams(url.slice(at)).get("message") ?? "";
  return !/^[A-Za-z0-9+/_-]*={0,2}$/.test(message);
}
