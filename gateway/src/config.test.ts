import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "@parley/platform/config";
import { readEnvironment, toGatewayConfig } from "./config.ts";

const parse = (env: Record<string, string> = {}) =>
  toGatewayConfig({ workingDirectory: "/w", ...env });

describe("the gateway's config", () => {
  it("has defaults for everything", () => {
    const config = parse();
    assert.equal(config.port, 8080);
    assert.equal(config.host, "127.0.0.1");
    assert.equal(config.tls, undefined);
    assert.equal(config.operatorToken, undefined);
    assert.equal(config.sessionQueueBytesMax, 1024 * 1024);
    assert.equal(config.serverInfo.signUpOpen, true);
  });

  it("reads what is set", () => {
    const config = parse({
      PARLEY_GATEWAY_PORT: "443",
      PARLEY_GATEWAY_TLS_CERTIFICATE: "tls/c.pem",
      PARLEY_GATEWAY_TLS_KEY: "/k.pem",
      PARLEY_GATEWAY_ALLOWED_ORIGINS: "https://a.example, https://b.example",
      PARLEY_GATEWAY_TRUSTED_PROXIES: "10.0.0.0/8",
      PARLEY_GATEWAY_SENDS_PER_SECOND: "2.5",
    });
    assert.deepEqual(config.tls, { certificateFile: "/w/tls/c.pem", keyFile: "/k.pem" });
    assert.deepEqual(config.allowedOrigins, ["https://a.example", "https://b.example"]);
    assert.equal(config.rates.sendsPerSecond, 2.5);
  });

  it("names the variable that cannot be used, and keeps secrets to itself", () => {
    for (const [variable, value] of [
      ["PARLEY_GATEWAY_PORT", "x"],
      ["PARLEY_GATEWAY_SESSION_QUEUE_MAX", "1KiB"],
      ["PARLEY_GATEWAY_SENDS_PER_SECOND", "0"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "short"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "with.a.dot.like.a.jwt"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "fifteen-letters"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "with white space in it"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", " white-space-around-it "],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "from-a-file-with-an-end\n"],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "                        "],
      ["PARLEY_GATEWAY_OPERATOR_TOKEN", "nötige-länge-erreicht"],
      ["PARLEY_GATEWAY_TRUSTED_PROXIES", "proxy.example"],
      ["PARLEY_GATEWAY_TRUSTED_PROXIES", "10.0.0.1, 10.0.0.0/99"],
    ] as const) {
      assert.throws(
        () => parse({ [variable]: value }),
        (error) => error instanceof ConfigError && error.variable === variable,
      );
    }
    assert.throws(
      () => parse({ PARLEY_GATEWAY_OPERATOR_TOKEN: "hushhush" }),
      (error) => error instanceof Error && !error.message.includes("hushhush"),
    );
    assert.equal(
      parse({ PARLEY_GATEWAY_OPERATOR_TOKEN: "16-letters+signs" }).operatorToken,
      "16-letters+signs",
    );
    assert.throws(
      () => parse({ PARLEY_GATEWAY_TRUSTED_PROXIES: "10.0.0.1,proxy.example" }),
      /PARLEY_GATEWAY_TRUSTED_PROXIES is "10.0.0.1,proxy.example"; expected IP .*proxy.example is neither/,
    );
    assert.throws(() => parse({ PARLEY_GATEWAY_TLS_KEY: "/k.pem" }), ConfigError);
  });

  it("takes only its own variables and those it tells clients about", () => {
    const env = readEnvironment({
      PARLEY_GATEWAY_PORT: "1",
      PARLEY_DIRECTORY_SIGN_UP: "closed",
      PARLEY_DIRECTORY_SIGNING_KEY: "secret",
      HOME: "/h",
    });
    assert.deepEqual(Object.keys(env).sort(), [
      "PARLEY_DIRECTORY_SIGN_UP",
      "PARLEY_GATEWAY_PORT",
      "workingDirectory",
    ]);
  });
});
