import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { type AccountFixture, createAccountFixture, DEVICE } from "../testing/account-fixture.ts";
import { createTestIssuer, type TestIssuer } from "../testing/external-issuer-server.ts";
import { refusedWith } from "../testing/refusals.ts";

async function createFixture(issuer: TestIssuer): Promise<AccountFixture> {
  const { audience, jwksUrl } = issuer;
  const externalIssuer = { issuer: issuer.issuer, audience, jwksUrl };
  const fixture = await createAccountFixture({ config: { externalIssuer } });
  return fixture;
}

test("the first token creates the account, and later ones sign in", async () => {
  await using issuer = await createTestIssuer();
  await using fixture = await createFixture(issuer);
  const signIn = async (claims: Record<string, unknown>) => {
    const externalToken = await issuer.sign({ sub: "42", ...claims }, fixture.clock.nowMs());
    return await fixture.anybody.signInWithExternalToken({ externalToken, device: DEVICE });
  };
  const first = await signIn({ preferred_username: "Zoë.Müller", name: "Zoë Müller" });
  assert.equal(first.user?.username, "zoe.muller");
  assert.equal(first.user.displayName, "Zoë Müller");
  const second = await signIn({ preferred_username: "renamed" });
  assert.deepEqual(second.user, first.user);
  assert.notEqual(second.deviceId, first.deviceId);
  await fixture.anybody.refreshTokens({ refreshToken: second.tokens?.refreshToken ?? "" });
});

test("namesakes get usernames of their own", async () => {
  await using issuer = await createTestIssuer();
  await using fixture = await createFixture(issuer);
  await fixture.person("grace");
  const usernames = new Set<string>();
  for (const sub of ["1", "2", "3"]) {
    const claims = { sub, email: "grace@example.com" };
    const externalToken = await issuer.sign(claims, fixture.clock.nowMs());
    const { user } = await fixture.anybody.signInWithExternalToken({
      externalToken,
      device: DEVICE,
    });
    assert.match(user?.username ?? "", /^grace_\d{6}$/);
    usernames.add(user?.username ?? "");
  }
  assert.equal(usernames.size, 3);
});

test("one person who signs in on many devices at once gets one account", async () => {
  await using issuer = await createTestIssuer();
  await using fixture = await createFixture(issuer);
  const externalToken = await issuer.sign({ sub: "42" }, fixture.clock.nowMs());
  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      fixture.anybody.signInWithExternalToken({ externalToken, device: DEVICE }),
    ),
  );
  assert.equal(new Set(answers.map((answer) => answer.user?.userId)).size, 1);
  assert.equal(new Set(answers.map((answer) => answer.deviceId)).size, 8);
});

test("tokens that do not verify are refused", async () => {
  await using issuer = await createTestIssuer();
  await using stranger = await createTestIssuer();
  await using fixture = await createFixture(issuer);
  const nowMs = fixture.clock.nowMs();
  const good = await issuer.sign({ sub: "42" }, nowMs);
  const tokens = {
    "no token": "x",
    "an altered payload": good.replace(/\.[^.]+\./, (part) => `.${part.slice(1, -3)}AA.`),
    "another issuer's key": await stranger.sign({ sub: "42", iss: issuer.issuer }, nowMs),
    "another issuer": await issuer.sign({ sub: "42", iss: "https://elsewhere" }, nowMs),
    "another audience": await issuer.sign({ sub: "42", aud: "elsewhere" }, nowMs),
    "an expired token": await issuer.sign({ sub: "42" }, nowMs - 3_600_000),
    "no subject": await issuer.sign({}, nowMs),
    "no expiry": await issuer.sign({ sub: "42", exp: undefined }, nowMs),
    "a signature that everybody can make": await issuer.signWithPublicKeyAsSecret(nowMs),
    "no signature": issuer.leaveUnsigned(nowMs),
  };
  for (const [name, externalToken] of Object.entries(tokens)) {
    const call = fixture.anybody.signInWithExternalToken({ externalToken, device: DEVICE });
    const error = await refusedWith(call, "BAD_CREDENTIALS");
    assert.equal(error.code, Code.Unauthenticated, name);
  }
  await fixture.anybody.signInWithExternalToken({ externalToken: good, device: DEVICE });
});

test("people of the external issuer have no password", async () => {
  await using issuer = await createTestIssuer();
  await using fixture = await createFixture(issuer);
  const claims = { sub: "42", nickname: "grace" };
  const externalToken = await issuer.sign(claims, fixture.clock.nowMs());
  const signedIn = await fixture.anybody.signInWithExternalToken({ externalToken, device: DEVICE });
  const withPassword = { username: "grace", password: "undefined", device: DEVICE };
  await refusedWith(fixture.anybody.signIn(withPassword), "BAD_CREDENTIALS");
  const { account } = fixture.as(signedIn.user?.userId ?? "", signedIn.deviceId);
  const change = { currentPassword: "null", newPassword: "another horse" };
  await refusedWith(account.changePassword(change), "BAD_CREDENTIALS");
});

test("an issuer that is down is nobody's fault, and is asked again", async () => {
  await using issuer = await createTestIssuer();
  await using fixture = await createFixture(issuer);
  const externalToken = await issuer.sign({ sub: "42" }, fixture.clock.nowMs());
  const signIn = () => fixture.anybody.signInWithExternalToken({ externalToken, device: DEVICE });
  issuer.failing = true;
  const error = await refusedWith(signIn(), "EXTERNAL_ISSUER_UNREACHABLE");
  assert.equal(error.code, Code.Unavailable);
  issuer.failing = false;
  await signIn();
});

test("without an issuer every external token is refused", async () => {
  await using fixture = await createAccountFixture();
  const call = fixture.anybody.signInWithExternalToken({ externalToken: "x", device: DEVICE });
  const error = await refusedWith(call, "EXTERNAL_ISSUER_ABSENT");
  assert.equal(error.code, Code.FailedPrecondition);
});
