/** How fast people, devices and addresses may call. Refusals say when to come back. */
import type { Interceptor } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import type { Clock } from "@parley/platform/clock";
import { resourceExhausted } from "@parley/platform/errors";
import { createRateLimiter, type RateLimiter } from "@parley/platform/rate-limit";
import { callerKey, peerAddressKey } from "@parley/platform/rpc/caller";

export type RateLimitConfig = {
  /** Messages that one device may send per second; its person, from all devices, twice as many. */
  readonly sendsPerSecond: number;
  /** Calls of any kind that one device may make per second; its person twice, an address four times as many. */
  readonly callsPerSecond: number;
  /** Accounts that one address may create per minute. */
  readonly signUpsPerMinute: number;
  /** Attempts to sign in that one address may make per minute. */
  readonly signInsPerMinute: number;
};

type Person = { readonly userId: string; readonly deviceId: string };

/** All throw `RESOURCE_EXHAUSTED` / `RATE_LIMITED` with a retry delay. */
export type RateLimits = {
  takeSend(person: Person): void;
  /** `person` is undefined for a caller without a token; `address` is empty where it does not count. */
  takeCall(person: Person | undefined, address: string): void;
  takeSignUp(address: string): void;
  takeSignIn(address: string): void;
};

/** Seconds' worth of the rate that may come at once: a page that loads, a client that catches up. */
const BURST_SECONDS = 5;
/** Buckets per limiter, at about 150 bytes each. */
const KEYS_MAX = 50_000;
const USER_FACTOR = 2;
const ADDRESS_FACTOR = 4;

export function createRateLimits(config: RateLimitConfig, clock: Clock): RateLimits {
  const perSecond = (rate: number) =>
    createRateLimiter({
      ratePerSecond: rate,
      burst: rate * BURST_SECONDS,
      keysMax: KEYS_MAX,
      clock,
    });
  const perMinute = (count: number) =>
    createRateLimiter({ ratePerSecond: count / 60, burst: count, keysMax: KEYS_MAX, clock });

  const deviceSends = perSecond(config.sendsPerSecond);
  const userSends = perSecond(config.sendsPerSecond * USER_FACTOR);
  const deviceCalls = perSecond(config.callsPerSecond);
  const userCalls = perSecond(config.callsPerSecond * USER_FACTOR);
  const addressCalls = perSecond(config.callsPerSecond * ADDRESS_FACTOR);
  const signUps = perMinute(config.signUpsPerMinute);
  const signIns = perMinute(config.signInsPerMinute);

  return {
    takeSend({ userId, deviceId }) {
      take(deviceSends, deviceId, "This device sends too fast.");
      take(userSends, userId, "This person sends too fast.");
    },
    takeCall(person, address) {
      if (person !== undefined) {
        take(deviceCalls, person.deviceId, "This device calls too often.");
        take(userCalls, person.userId, "This person calls too often.");
      } else if (address !== "") {
        take(addressCalls, address, "Too many calls come from this address.");
      }
    },
    takeSignUp: (address) => take(signUps, address, "Too many accounts come from this address."),
    takeSignIn: (address) => take(signIns, address, "Too many sign-ins come from this address."),
  };
}

function take(limiter: RateLimiter, key: string, text: string): void {
  const decision = limiter.take(key);
  if (decision.ok) return;
  const { retryAfterMs } = decision;
  throw resourceExhausted("RATE_LIMITED", text, { retryAfterMs });
}

const { signUp, signIn, signInWithExternalToken } = AccountService.method;
const SIGN_INS = new Set([nameOf(signIn), nameOf(signInWithExternalToken)]);
const SIGN_UP = nameOf(signUp);
const SEND = nameOf(MessageService.method.sendMessage);

/** Applies the limits to every RPC; after access, so that it is known who calls. */
export function rateLimitInterceptor(limits: RateLimits): Interceptor {
  return (next) => (request) => {
    try {
      const caller = request.contextValues.get(callerKey);
      const address = request.contextValues.get(peerAddressKey);
      const name = nameOf(request.method);
      limits.takeCall(caller.kind === "device" ? caller : undefined, address);
      if (name === SIGN_UP) limits.takeSignUp(address);
      else if (SIGN_INS.has(name)) limits.takeSignIn(address);
      else if (name === SEND && caller.kind === "device") limits.takeSend(caller);
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

function nameOf(method: { readonly name: string; readonly parent: { readonly typeName: string } }) {
  return `${method.parent.typeName}/${method.name}`;
}
