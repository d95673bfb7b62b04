/** Whose address a request comes from, also behind proxies that the operator trusts. */
import type { IncomingHttpHeaders } from "node:http";
import { BlockList, isIP, isIPv6 } from "node:net";

export type Addresses = {
  /** True if the connection's other end is a proxy that the operator named. */
  isTrustedProxy(socketAddress: string): boolean;
  /** The client's address: the connection's, or what trusted proxies say in `x-forwarded-for`. */
  clientAddress(socketAddress: string | undefined, headers: IncomingHttpHeaders): string;
  /** True for a client on this machine that did not come through any proxy. */
  isLoopback(socketAddress: string | undefined, headers: IncomingHttpHeaders): boolean;
};

/** A proxy's address or network is not an IP address or CIDR range. */
export class ProxyAddressError extends Error {
  override readonly name = "ProxyAddressError";
}

/** `trustedProxies` are addresses (`10.0.0.7`, `::1`) or networks (`10.0.0.0/8`). */
export function createAddresses(trustedProxies: readonly string[]): Addresses {
  const trusted = createBlockList(trustedProxies);
  const isTrustedProxy = (address: string) => contains(trusted, address);
  return {
    isTrustedProxy,
    clientAddress(socketAddress, headers) {
      let address = plainAddress(socketAddress ?? "");
      const forwarded = headers["x-forwarded-for"];
      if (typeof forwarded !== "string") return address;
      // From the right: each trusted proxy vouches for the entry that it wrote, and for no other.
      const hops = forwarded.split(",").map((hop) => plainAddress(hop.trim()));
      while (isTrustedProxy(address)) {
        const hop = hops.pop();
        if (hop === undefined || isIP(hop) === 0) break;
        address = hop;
      }
      return address;
    },
    isLoopback(socketAddress, headers) {
      // A proxy on this machine makes everybody look local, so whoever was forwarded is not.
      if (headers["x-forwarded-for"] !== undefined || headers.forwarded !== undefined) return false;
      const address = plainAddress(socketAddress ?? "");
      return address === "::1" || address.startsWith("127.");
    },
  };
}

/** Without the prefix that IPv4 has on a dual-stack socket. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}

function createBlockList(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", prefix] = entry.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    try {
      if (prefix === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(prefix), family);
    } catch {
      throw new ProxyAddressError(`${entry} is neither an IP address nor a network`);
    }
  }
  return list;
}

function contains(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 6 ? "ipv6" : "ipv4");
}
