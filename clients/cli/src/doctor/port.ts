/** Is the port free, or is a Parley server already there? */
import { createServer } from "node:net";
import { type Finding, ok, problem } from "./finding.ts";
import { askServer } from "./server.ts";

export async function checkPort(host: string, port: number): Promise<readonly Finding[]> {
  const code = await tryToListen(host, port);
  if (code === undefined) return [ok(`Port ${port} is free on ${host}`)];
  if (code === "EADDRINUSE") {
    const shown = ["*", "0.0.0.0", "::"].includes(host) ? "127.0.0.1" : host;
    const info = await askServer(`http://${shown.includes(":") ? `[${shown}]` : shown}:${port}`);
    if (info) {
      const what = `A Parley server (version ${info.version}) already runs on port ${port}.`;
      return [problem(what, "Chat with it, or stop it before starting another one.")];
    }
    return [
      problem(
        `Port ${port} is used by another program.`,
        "Stop that program, or choose another port with PARLEY_GATEWAY_PORT.",
      ),
    ];
  }
  if (code === "EACCES") {
    const remedy = "Choose a port above 1023 with PARLEY_GATEWAY_PORT.";
    return [problem(`Port ${port} is reserved for the system.`, remedy)];
  }
  const remedy = "Set PARLEY_GATEWAY_HOST to an address of this machine.";
  return [problem(`The server cannot listen on ${host}:${port} (${code}).`, remedy)];
}

/** Undefined if it works, otherwise the system's error code. */
function tryToListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    // As the server reads it: a star is every address.
    const address = host === "*" ? {} : { host };
    server.listen({ ...address, port, exclusive: true }, () => server.close(() => done(undefined)));
  });
}
