/** How fast people, devices and addresses may call. Refusals say when to come back. */
import type { Interceptor } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import { Access } from "@parley/gen/parley/options/v1/access_pb";
import {
  type PollRequest,
  RealtimeService,
} from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import type { Clock } from "@parley/platform/clock";
import { reasonOf, resourceExhausted } from "@parley/platform/errors";
import { createRateLimiter, type RateLimiter } from "@parley/platform/rate-limit";
import { accessOf, bearerToken } from "@parley/platform/rpc/access";
import { callerKey, peerAddressKey } from "@parley/platform/rpc/caller";
import { limitedAddress } from "./addresses.ts";

export type RateLimitConfig = {
  /** Messages that one device may send per second; its person, from all devices, twice as many. */
  readonly sendsPerSecond: number;
  /** Calls of any kind that one device may make per second; its person twice, an address four times as many. */
  readonly callsPerSecond: number;
  /** Sessions that one device may open per minute. */
  readonly opensPerMinute: number;
  /** Sessions that one address may open per minute. */
  readonly addressOpensPerMinute: number;
  /** Tokens of one address per minute that turn out to be no token of ours, or not the operator's. */
  readonly failuresPerMinute: number;
  /** Accounts that one address may create per minute. */
  readonly signUpsPerMinute: number;
  /** Attempts to sign in that one address may make per minute. */
  readonly signInsPerMinute: number;
};

type Person = { readonly userId: string; readonly deviceId: string };

/**
 * All throw `RESOURCE_EXHAUSTED` / `RATE_LIMITED` with a retry delay, unless they say otherwise. Addresses that
 * are one household's or machine's are one (`limitedAddress`); an empty one does not count.
 */
export type RateLimits = {
  takeSend(person: Person): void;
  /** `person` is undefined for a caller without a token; `address` is empty where it does not count. */
  takeCall(person: Person | undefined, address: string): void;
  /** Counts a session that is opened, for the device if it is known, and for the address. */
  takeOpen(person: Person | undefined, address: string): void;
  takeSignUp(address: string): void;
  takeSignIn(address: string): void;
  /** Throws while an address has presented too many wrong tokens. Called before a token costs anything. */
  assertMayAuthenticate(address: string): void;
  /** Counts a wrong token; never throws. */
  countFailure(address: string): void;
  /** False if the person types in too many conversations at once; never throws. */
  takeTyping(person: Pick<Person, "userId">): boolean;
};

/** Seconds' worth of the rate that may come at once: a page that loads, a client that catches up. */
const BURST_SECONDS = 5;
/** Buckets per limiter, at about 150 bytes each. */
const KEYS_MAX = 50_000;
const USER_FACTOR = 2;
const ADDRESS_FACTOR = 4;
/** Typing notices of one person, in whatever conversations: somebody who changes between several. */
const TYPING_PER_SECOND = 2;
const TYPING_BURST = 10;

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
  const deviceOpens = perMinute(config.opensPerMinute);
  const addressOpens = perMinute(config.addressOpensPerMinute);
  const failures = createFailures(perMinute(config.failuresPerMinute), clock);
  const typing = createRateLimiter({
    ratePerSecond: TYPING_PER_SECOND,
    burst: TYPING_BURST,
    keysMax: KEYS_MAX,
    clock,
  });
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
      } else {
        takeAddress(addressCalls, address, "Too many calls come from this address.");
      }
    },
    takeOpen(person, address) {
      if (person !== undefined) {
        take(deviceOpens, person.deviceId, "This device opens sessions too often.");
      }
      takeAddress(addressOpens, address, "Too many sessions are opened from this address.");
    },
    takeSignUp: (address) =>
      takeAddress(signUps, address, "Too many accounts come from this address."),
    takeSignIn: (address) =>
      takeAddress(signIns, address, "Too many sign-ins come from this address."),
    ...failures,
    takeTyping: ({ userId }) => typing.take(userId).ok,
  };
}

/** Wrong tokens of addresses. Whoever has spent theirs is refused before the next token is looked at. */
function createFailures(
  limiter: RateLimiter,
  clock: Clock,
): Pick<RateLimits, "assertMayAuthenticate" | "countFailure"> {
  const blockedUntilMs = new Map<string, number>();
  return {
    assertMayAuthenticate(address) {
      const key = limitedAddress(address);
      const retryAfterMs = (blockedUntilMs.get(key) ?? 0) - clock.nowMs();
      if (retryAfterMs > 0) {
        throw refused("Too many wrong tokens come from this address.", retryAfterMs);
      }
      blockedUntilMs.delete(key);
    },
    countFailure(address) {
      const key = limitedAddress(address);
      if (key === "") return;
      const decision = limiter.take(key);
      if (decision.ok) return;
      const oldest = blockedUntilMs.keys().next();
      if (blockedUntilMs.size >= KEYS_MAX && !oldest.done) blockedUntilMs.delete(oldest.value);
      blockedUntilMs.set(key, clock.nowMs() + decision.retryAfterMs);
    },
  };
}

function takeAddress(limiter: RateLimiter, address: string, text: string): void {
  if (address !== "") take(limiter, limitedAddress(address), text);
}

function take(limiter: RateLimiter, key: string, text: string): void {
  const decision = limiter.take(key);
  if (!decision.ok) throw refused(text, decision.retryAfterMs);
}

function refused(text: string, retryAfterMs: number) {
  return resourceExhausted("RATE_LIMITED", text, { retryAfterMs });
}

const { signUp, signIn, signInWithExternalToken } = AccountService.method;
const SIGN_INS = new Set([nameOf(signIn), nameOf(signInWithExternalToken)]);
const SIGN_UP = nameOf(signUp);
const SEND = nameOf(MessageService.method.sendMessage);
const { connect, subscribe, poll } = RealtimeService.method;
const STREAMS = new Set([nameOf(connect), nameOf(subscribe)]);
const POLL = nameOf(poll);

/** Counts calls without a device; before access, so that those count too that are refused. */
export function addressLimitInterceptor(limits: Pick<RateLimits, "takeCall">): Interceptor {
  return (next) => (request) => {
    try {
      const { kind } = request.contextValues.get(callerKey);
      if (kind !== "device") limits.takeCall(undefined, request.contextValues.get(peerAddressKey));
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

/** Limits guesses at the operator's token; around the access interceptor, which compares it. */
export function operatorLimitInterceptor(
  limits: Pick<RateLimits, "assertMayAuthenticate" | "countFailure">,
): Interceptor {
  return (next) => async (request) => {
    const token = bearerToken(request.header.get("authorization"));
    if (token === undefined || accessOf(request.method) !== Access.OPERATOR) return next(request);
    const address = request.contextValues.get(peerAddressKey);
    limits.assertMayAuthenticate(address);
    try {
      return await next(request);
    } catch (error) {
      if (reasonOf(error) === "OPERATOR_TOKEN_REQUIRED") limits.countFailure(address);
      throw error;
    }
  };
}

/** Applies the limits to every RPC of a device and to dear ones; after access, so that it is known who calls. */
export function rateLimitInterceptor(limits: RateLimits): Interceptor {
  return (next) => (request) => {
    try {
      const caller = request.contextValues.get(callerKey);
      const address = request.contextValues.get(peerAddressKey);
      const name = nameOf(request.method);
      const device = caller.kind === "device" ? caller : undefined;
      if (device !== undefined) limits.takeCall(device, address);
      if (name === SIGN_UP) limits.takeSignUp(address);
      else if (SIGN_INS.has(name)) limits.takeSignIn(address);
      else if (name === SEND && device !== undefined) limits.takeSend(device);
      else if (opensSession(name, request)) limits.takeOpen(device, address);
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

function opensSession(name: string, request: Parameters<ReturnType<Interceptor>>[0]): boolean {
  if (STREAMS.has(name)) return true;
  return name === POLL && !request.stream && (request.message as PollRequest).open !== undefined;
}

function nameOf(method: { readonly name: string; readonly parent: { readonly typeName: string } }) {
  return `${method.parent.typeName}/${method.name}`;
}
