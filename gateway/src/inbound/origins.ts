/** Which web pages may use this server (Fetch Standard, CORS protocol). */
import { cors } from "@connectrpc/connect";

export type OriginDecision =
  /** No page: another kind of client, which sends no origin. */
  "absent" | "allowed" | "refused";

export type Origins = {
  /** Decides from the request's `origin` and `host` (or `:authority`) headers. */
  decide(origin: string | undefined, host: string | undefined): OriginDecision;
};

/** A page of the same host is always allowed; others must be listed, as `https://chat.example.org`. */
export function createOrigins(allowed: readonly string[]): Origins {
  const listed = new Set(allowed.map((origin) => origin.toLowerCase().replace(/\/+$/, "")));
  return {
    decide(origin, host) {
      if (origin === undefined) return "absent";
      const wanted = origin.toLowerCase();
      if (listed.has(wanted)) return "allowed";
      // Only host and port are compared: behind a proxy that ends TLS the schemes differ.
      const pageHost = URL.parse(wanted)?.host ?? "";
      return pageHost !== "" && pageHost === normalHost(host) ? "allowed" : "refused";
    },
  };
}

function normalHost(host: string | undefined): string {
  return host === undefined ? "" : (URL.parse(`http://${host.toLowerCase()}`)?.host ?? "");
}

/** A browser asks again after this time. */
const PREFLIGHT_MAX_AGE_SECONDS = 7200;

const ALLOWED_HEADERS = [...cors.allowedHeaders, "Authorization", "traceparent"].join(", ");
const EXPOSED_HEADERS = cors.exposedHeaders.join(", ");

/** Headers of an answer to an allowed page. */
export function corsHeaders(origin: string): Readonly<Record<string, string>> {
  return {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": EXPOSED_HEADERS,
    vary: "Origin",
  };
}

/** Headers of the answer to an allowed page's preflight. */
export function preflightHeaders(origin: string): Readonly<Record<string, string>> {
  return {
    "access-control-allow-origin": origin,
    "access-control-allow-methods": cors.allowedMethods.join(", "),
    "access-control-allow-headers": ALLOWED_HEADERS,
    "access-control-max-age": String(PREFLIGHT_MAX_AGE_SECONDS),
    vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
  };
}
