/** How many connections the port holds, in all and per address. */
import type { Socket } from "node:net";
import { type Addresses, limitedAddress } from "./addresses.ts";

export type ConnectionLimits = {
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
};

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #addresses: Addresses;
  readonly #sockets = new Set<Socket>();
  readonly #perAddress = new Map<string, number>();

  constructor(limits: ConnectionLimits, addresses: Addresses) {
    this.#limits = limits;
    this.#addresses = addresses;
  }

  get size(): number {
    return this.#sockets.size;
  }

  all(): Iterable<Socket> {
    return this.#sockets;
  }

  /** Counts a new connection until it closes; false if it is one too many. */
  admit(socket: Socket): boolean {
    const remoteAddress = socket.remoteAddress ?? "";
    const address = limitedAddress(remoteAddress);
    if (this.#sockets.size >= this.#limits.connectionsMax) return false;
    // A proxy brings everybody's connections from one address.
    const counted = !this.#addresses.isTrustedProxy(remoteAddress);
    const count = this.#perAddress.get(address) ?? 0;
    if (counted && count >= this.#limits.connectionsPerAddressMax) return false;
    if (counted) this.#perAddress.set(address, count + 1);
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      if (counted) this.#release(address);
    });
    return true;
  }

  #release(address: string): void {
    const count = this.#perAddress.get(address) ?? 0;
    if (count <= 1) this.#perAddress.delete(address);
    else this.#perAddress.set(address, count - 1);
  }
}
