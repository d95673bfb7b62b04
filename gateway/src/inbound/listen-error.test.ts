import assert from "node:assert/strict";
import { it } from "node:test";
import { SettingError } from "@parley/platform/config";
import { explainListenError } from "./listen-error.ts";

const failure = (code: string) => Object.assign(new Error(code), { code });

it("says of a port which variable it is, and who may have it", () => {
  const taken = explainListenError(failure("EADDRINUSE"), "127.0.0.1", 8080);
  assert.ok(taken instanceof SettingError);
  assert.equal(taken.variable, "PARLEY_GATEWAY_PORT");
  assert.match(taken.message, /^PARLEY_GATEWAY_PORT is 8080, .* on 127\.0\.0\.1/);
  const reserved = explainListenError(failure("EACCES"), undefined, 443);
  assert.ok(reserved instanceof SettingError);
  assert.match(reserved.message, /^PARLEY_GATEWAY_PORT is 443, .*root.*CAP_NET_BIND_SERVICE/);
  for (const code of ["EADDRNOTAVAIL", "ENOTFOUND"]) {
    const absent = explainListenError(failure(code), "chat.invalid", 8080);
    assert.ok(absent instanceof SettingError);
    assert.match(absent.message, /^PARLEY_GATEWAY_HOST is chat\.invalid/);
  }
});

it("leaves every other error as it is", () => {
  const error = failure("EMFILE");
  assert.equal(explainListenError(error, undefined, 8080), error);
});
