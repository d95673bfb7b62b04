import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../config.ts";
import { readMysqlEnvironment, toMysqlConfig } from "./mysql-config.ts";

const configOf = (env: Readonly<Record<string, string>>) =>
  toMysqlConfig(readMysqlEnvironment(env), "/srv/parley");

test("without a URL there is no MySQL", () => {
  assert.equal(configOf({}), undefined);
  assert.equal(configOf({ PARLEY_MYSQL_URL: " ", PARLEY_MYSQL_CONNECTIONS_MAX: "x" }), undefined);
});

test("a server", () => {
  assert.deepEqual(configOf({ PARLEY_MYSQL_URL: "mysql://parley@db.example/parley" }), {
    host: "db.example",
    port: 3306,
    username: "parley",
    password: undefined,
    database: "parley",
    tlsCaFile: undefined,
    connectionsMax: 20,
  });
});

test("everything is set", () => {
  const config = configOf({
    PARLEY_MYSQL_URL: "mysql://ann%40home:from%20url@[::1]:3307/chat_1",
    PARLEY_MYSQL_PASSWORD: "pass word",
    PARLEY_MYSQL_TLS_CA_FILE: "ca.pem",
    PARLEY_MYSQL_CONNECTIONS_MAX: "7",
  });
  assert.deepEqual(config, {
    host: "::1",
    port: 3307,
    username: "ann@home",
    password: "pass word",
    database: "chat_1",
    tlsCaFile: "/srv/parley/ca.pem",
    connectionsMax: 7,
  });
});

test("a password in the URL is taken when there is no other", () => {
  const config = configOf({ PARLEY_MYSQL_URL: "mysql://ann:secret%21@one/parley" });
  assert.equal(config?.password, "secret!");
});

test("what cannot be used is refused by the variable's name, and no password is shown", () => {
  const url = "mysql://ann:secret@one/parley";
  const refused: [variable: string, env: Readonly<Record<string, string>>][] = [
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "one:3306" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "http://ann:secret@one/parley" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "mysql://one/parley" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "mysql://ann:secret@one" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "mysql://ann:secret@one:0/parley" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "mysql://ann:secret@one/parley/more" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "mysql://ann:secret@one/parley`" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: "mysql://ann:secret%@one/parley" }],
    ["PARLEY_MYSQL_URL", { PARLEY_MYSQL_URL: `${url}?ssl=true` }],
    ["PARLEY_MYSQL_CONNECTIONS_MAX", { PARLEY_MYSQL_URL: url, PARLEY_MYSQL_CONNECTIONS_MAX: "1" }],
  ];
  for (const [variable, env] of refused) {
    assert.throws(
      () => configOf(env),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.ok(error.message.includes(variable), error.message);
        assert.ok(!error.message.includes("secret"), error.message);
        return true;
      },
      JSON.stringify(env),
    );
  }
});
