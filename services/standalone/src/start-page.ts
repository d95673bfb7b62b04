/** The page at `/` of a server without the web app: what this is, and how to chat with it. */
import type { ServerResponse } from "node:http";
import type { EdgeRequest, EdgeResponse } from "@parley/platform/rpc/edge-host";

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Parley</title>
<style>
  :root { color-scheme: light dark; font: 16px/24px system-ui, sans-serif; }
  body { margin: 48px auto; max-width: 40rem; padding: 0 16px; }
  pre { padding: 12px; border: 1px solid; border-radius: 6px; overflow-x: auto; }
</style>
</head>
<body>
<h1>Parley is running</h1>
<p>Chat from a terminal, in the folder of the server:</p>
<pre>npm run parley -- chat --user ana --sign-up</pre>
<p>and in another one:</p>
<pre>npm run parley -- chat --user ben --sign-up --with ana</pre>
<p>Conversations on this server are <strong>server-readable</strong>: whoever operates it can read them.</p>
<p><a href="/healthz">Health</a> · <a href="/readyz">Readiness</a></p>
</body>
</html>
`;

const headers = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
};

/** Answers `GET /`; returns false for anything else, which is then somebody else's to answer. */
export function serveStartPage(request: EdgeRequest, edge: EdgeResponse): boolean {
  if (request.url !== "/" || (request.method !== "GET" && request.method !== "HEAD")) return false;
  const response = edge as ServerResponse; // HTTP/2's response has the same methods
  response.writeHead(200, headers);
  response.end(request.method === "HEAD" ? undefined : page);
  return true;
}
