/** A way to a server on which answers can be held up, as by a network that stalls or a node that is slow. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createConnection, createServer, type Socket } from "node:net";

export type HeldProxy = AsyncDisposable & {
  /** `host:port` to connect to. */
  readonly address: string;
  /** Requests still reach the server; its answers wait from now on. */
  hold(): void;
  /** The answers that waited are delivered, and all that come. */
  release(): void;
  /** Breaks all connections; new ones are taken. */
  cut(): void;
};

/** Opens a way to `target`, which is `host:port`, on a free port. */
export async function openHeldProxy(target: string): Promise<HeldProxy> {
  const [host = "", port = ""] = target.split(":");
  const sockets = new Set<Socket>();
  const answers = new Set<Socket>();
  let held = false;
  const server = createServer((client) => {
    const upstream = createConnection({ host, port: Number(port) });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        answers.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (bytes) => upstream.write(bytes));
    upstream.on("data", (bytes) => client.write(bytes));
    answers.add(upstream);
    if (held) upstream.pause();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      held = true;
      for (const socket of answers) socket.pause();
    },
    release() {
      held = false;
      for (const socket of answers) socket.resume();
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
