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

/** `trustedProxies` are addresses (`10.0.0.7`, `::1`) or networks (`10.0.0.0/8`). Throws a `ProxyAddressError`. */
export function createAddresses(trustedProxies: readonly string[]): Addresses {
  const trusted = createBlockList(trustedProxies);
  const isTrustedProxy = (address: string) => contains(trusted, plainAddress(address));
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

/** The last two groups of an IPv4 address that is written as IPv6 (RFC 4291, section 2.5.5.2). */
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** Such an address as IPv4; any other text as it is. */
export function plainAddress(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = MAPPED.exec(normalIPv6(address));
  if (mapped === null) return address;
  const [high, low] = [mapped[1], mapped[2]].map((group) => Number.parseInt(group ?? "", 16));
  return [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255].join(".");
}

/**
 * What is counted as one address by limits: an IPv4 address, or the /64 of an IPv6 address, which is what one
 * household or machine gets and may choose any address of (RFC 4291, section 2.5.1).
 */
export function limitedAddress(address: string): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const [left = "", right] = normalIPv6(plain).split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(":")}::/64`;
}

/** In the one spelling of RFC 5952, in hexadecimal throughout, and without the zone that names an interface. */
function normalIPv6(address: string): string {
  const [withoutZone = ""] = address.split("%");
  return new URL(`http://[${withoutZone}]`).hostname.slice(1, -1);
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
