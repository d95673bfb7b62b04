import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createAddresses, ProxyAddressError, plainAddress } from "./addresses.ts";

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

  it("lose the prefix of IPv4 on a dual-stack socket only", () => {
    assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1");
    assert.equal(plainAddress("::ffff:0:1"), "::ffff:0:1");
  });

  it("refuse proxies that are no addresses", () => {
    for (const entry of ["proxy.example", "10.0.0.0/99", "10.0.0.0/x"]) {
      assert.throws(() => createAddresses([entry]), ProxyAddressError);
    }
  });
});
