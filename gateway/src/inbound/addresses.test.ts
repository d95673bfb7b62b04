import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createAddresses, limitedAddress, ProxyAddressError, plainAddress } from "./addresses.ts";

const forwarded = (value: string) => ({ "x-forwarded-for": value });

describe("addresses", () => {
  it("believe no header of a client that is no trusted proxy", () => {
    const { clientAddress } = createAddresses(["10.0.0.0/8"]);
    assert.equal(clientAddress("203.0.113.7", forwarded("1.2.3.4")), "203.0.113.7");
  });

  it("follow trusted proxies from the right, and stop at the first stranger", () => {
    const { clientAddress } = createAddresses(["10.0.0.0/8", "::1"]);
    const chain = forwarded("6.6.6.6, 198.51.100.9, 10.1.1.1");
    assert.equal(clientAddress("::ffff:10.0.0.1", chain), "198.51.100.9");
    assert.equal(clientAddress("::1", forwarded("2001:db8::7")), "2001:db8::7");
    assert.equal(clientAddress("10.0.0.1", forwarded("nonsense")), "10.0.0.1");
    assert.equal(clientAddress("10.0.0.1", forwarded("")), "10.0.0.1");
    assert.equal(clientAddress("10.0.0.1", forwarded("10.0.0.2, 10.0.0.3")), "10.0.0.2");
  });

  it("take nobody for local who came through a proxy", () => {
    const { isLoopback } = createAddresses([]);
    assert.equal(isLoopback("127.0.0.1", {}), true);
    assert.equal(isLoopback("::1", {}), true);
    assert.equal(isLoopback("::ffff:127.0.0.1", {}), true);
    assert.equal(isLoopback("127.0.0.1", forwarded("127.0.0.1")), false);
    assert.equal(isLoopback("127.0.0.1", { forwarded: "for=1.2.3.4" }), false);
    assert.equal(isLoopback("192.0.2.1", {}), false);
    assert.equal(isLoopback(undefined, {}), false);
  });

  it("are IPv4 where IPv4 is written as IPv6, in any spelling", () => {
    for (const mapped of ["::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:c000:0201"]) {
      assert.equal(plainAddress(mapped), "192.0.2.1", mapped);
      assert.equal(limitedAddress(mapped), "192.0.2.1", mapped);
    }
    for (const other of ["::ffff:0:0:1", "2001:db8::7", "192.0.2.1", "nonsense", ""]) {
      assert.equal(plainAddress(other), other);
    }
    assert.equal(createAddresses(["10.0.0.0/8"]).isTrustedProxy("::ffff:10.0.0.1"), true);
  });

  it("are one to limits if they are of one /64", () => {
    const one = [
      "2001:db8:0:1::7",
      "2001:DB8::1:ffff:ffff:ffff:ffff",
      "2001:0db8:0000:0001::%eth0",
    ];
    for (const address of one) assert.equal(limitedAddress(address), "2001:db8:0:1::/64", address);
    assert.equal(limitedAddress("2001:db8:0:2::7"), "2001:db8:0:2::/64");
    assert.equal(limitedAddress("::1"), "0:0:0:0::/64");
    assert.equal(limitedAddress("1::"), "1:0:0:0::/64");
    assert.equal(limitedAddress("1:2:3:4:5:6:7:8"), "1:2:3:4::/64");
    for (const other of ["192.0.2.1", "nonsense", ""]) assert.equal(limitedAddress(other), other);
  });

  it("of one /64 are grouped by their bits, whatever they are", () => {
    const group = fc.integer({ min: 0, max: 0xffff }).map((part) => part.toString(16));
    const half = fc.tuple(group, group, group, group).map((parts) => parts.join(":"));
    fc.assert(
      fc.property(half, half, half, (network, a, b) => {
        const first = limitedAddress(`${network}:${a}`);
        assert.equal(first, limitedAddress(`${network}:${b}`));
        const [bits] = first.split("::/64");
        // 0:0:0:0 is where IPv4 lives in IPv6.
        if (network !== "0:0:0:0") assert.equal(bits, network);
      }),
    );
  });

  it("refuse proxies that are no addresses", () => {
    for (const entry of ["proxy.example", "10.0.0.0/99", "10.0.0.0/x"]) {
      assert.throws(() => createAddresses([entry]), ProxyAddressError);
    }
  });
});
