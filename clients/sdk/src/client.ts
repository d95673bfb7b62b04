/** A person's client: signing in and out, and what they can do while signed in. */

import { Code } from "@connectrpc/connect";
import type { User } from "@parley/gen/parley/account/v1/account_pb";
import { type Authentication, createAuthenticationCalls } from "./auth/sign-in.ts";
import { createTokenKeeper } from "./auth/token-keeper.ts";
import { type Conversation, createConversation } from "./conversation.ts";
import { createEmitter } from "./emitter.ts";
import { Engine } from "./engine.ts";
import { clientError, toParleyError } from "./errors.ts";
import type { ClientEvents } from "./events.ts";
import { newUuid } from "./ids.ts";
import { listInbox } from "./lists.ts";
import { type ClientOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import type { Account, ParleyClient } from "./parley-client.ts";
import { createAuthentication } from "./rpc/authentication.ts";
import { createTransport } from "./rpc/service-client.ts";
import { createServiceClients, type ServiceClients } from "./rpc/service-clients.ts";
import type { ConnectionState } from "./session/connector.ts";
import type { RoadName } from "./session/road.ts";
import { createRoadChooser } from "./session/road-chooser.ts";
import { createRoads } from "./session/roads.ts";
import type { StoredState } from "./storage/client-storage.ts";

/** Creates a client. It does nothing on the network by itself. */
export function createParleyClient(options: ClientOptions): ParleyClient {
  return new ClientParts(resolveOptions(options)).toClient();
}

const OFFLINE: ConnectionState = { state: "offline", error: undefined, retryAfterMs: undefined };

/** The parts of a client and how they fit. */
class ClientParts {
  readonly #options: ResolvedOptions;
  readonly #emitter;
  readonly #tokens;
  readonly #services: ServiceClients;
  readonly #roads;
  readonly #closing = new AbortController();
  readonly #ready: Promise<void>;
  #engine: Engine;
  #state: ConnectionState = OFFLINE;
  #closed: Promise<void> | undefined;

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#emitter = createEmitter<ClientEvents>((error) => this.#onListenerFailure(error));
    this.#emitter.on("stateChanged", (state) => {
      this.#state = state;
    });
    this.#tokens = createTokenKeeper({
      storage: options.storage,
      refreshTokens: async (refreshToken) => {
        const { tokens } = await this.#services.accounts.refreshTokens({ refreshToken });
        if (tokens) return tokens;
        throw clientError(Code.Internal, "PROTOCOL", "The server's answer lacks tokens.");
      },
      now: options.now,
      marginMs: options.timing.tokenMarginMs,
      onSignedOut: (reason) => this.#emitter.emit("signedOut", { reason }),
    });
    const authentication = createAuthentication({
      accessToken: async (refused) => {
        await this.#ready;
        return this.#tokens.accessToken(refused);
      },
    });
    this.#services = createServiceClients(
      createTransport({
        url: options.url,
        fetch: options.fetch,
        interceptors: [...options.interceptors, authentication],
      }),
    );
    this.#roads = createRoads({ ...options, realtime: this.#services.realtime });
    this.#engine = this.#createEngine();
    this.#ready = this.#restore();
    this.#ready.catch(() => {}); // told of by every call that waits for it
    // Browsers tell when the network is back; nobody waits for the end of a pause then.
    this.#network()?.addEventListener("online", this.#onNetwork);
  }

  toClient(): ParleyClient {
    const parts = this;
    return {
      ...this.#services,
      ...this.#authenticationCalls(),
      ready: this.#ready,
      get account() {
        return parts.#account();
      },
      get state() {
        return parts.#state;
      },
      connect: () => quiet(this.#connect()),
      disconnect: () => this.#engine.disconnect(),
      wake: () => this.#engine.wake(),
      on: this.#emitter.on,
      conversation: (id) => this.#conversation(id),
      openDirect: (userId) => this.#openDirect(userId),
      createGroup: (title, userIds) => this.#createGroup(title, userIds),
      listInbox: () => listInbox(this.#services.inbox),
      watchPresence: async (userIds, conversationId) => {
        await this.#ready;
        await this.#engine.presence.watch(userIds, conversationId);
      },
      presenceOf: (userId) => this.#engine.presence.get(userId),
      outbox: {
        list: () => this.#engine.outbox.list(),
        settled: async () => {
          await this.#ready;
          await this.#engine.outbox.settled();
        },
      },
      accessToken: async () => {
        await this.#ready;
        return this.#tokens.accessToken();
      },
      close: () => this.#close(),
      [Symbol.asyncDispose]: () => this.#close(),
    };
  }

  #createEngine(): Engine {
    const { roads } = this.#options;
    return new Engine({
      storage: this.#options.storage,
      tokens: this.#tokens,
      messages: this.#services.messages,
      roads: this.#roads,
      createChooser: (remembered) =>
        createRoadChooser({
          roads,
          remembered: roads.find((name: RoadName) => name === remembered),
        }),
      emitter: this.#emitter,
      timing: this.#options.timing,
      catchUpMessagesMax: this.#options.catchUpMessagesMax,
      now: this.#options.now,
      random: this.#options.random,
    });
  }

  async #restore(): Promise<void> {
    const state = await this.#options.storage.load();
    this.#tokens.restore(state.account);
    this.#engine.restore(state);
  }

  #authenticationCalls(): Authentication {
    return createAuthenticationCalls({
      accounts: this.#services.accounts,
      tokens: this.#tokens,
      device: this.#options.device,
      ready: this.#ready,
      onSignIn: (user) => this.#onSignIn(user),
      onSignedIn: () => this.#engine.onAccount(),
      disconnect: () => this.#engine.disconnect(),
      onSignOut: () => this.#replaceEngine(),
    });
  }

  /** Somebody is about to be signed in: what another person left here is not theirs. */
  async #onSignIn(user: User): Promise<void> {
    const stored = await this.#options.storage.load();
    const before = this.#tokens.account?.userId ?? stored.settings[OWNER_SETTING];
    if (before !== undefined && before !== user.userId) await this.#replaceEngine();
    await this.#options.storage.write({ settings: { [OWNER_SETTING]: user.userId } });
  }

  /** Begins with nothing. */
  async #replaceEngine(): Promise<void> {
    await this.#engine.close();
    await this.#options.storage.clear();
    this.#engine = this.#createEngine();
    const nothing: StoredState = { account: undefined, timelines: [], sends: [], settings: {} };
    this.#engine.restore(nothing);
  }

  #account(): Account | undefined {
    const account = this.#tokens.account;
    if (!account) return undefined;
    return { userId: account.userId, deviceId: account.deviceId, username: account.username };
  }

  async #connect(): Promise<void> {
    await this.#ready;
    this.#engine.connect();
    await this.#engine.untilCaughtUp(this.#closing.signal);
  }

  #conversation(conversationId: string): Conversation {
    const { crypto, now, storage } = this.#options;
    return createConversation(conversationId, {
      engine: () => this.#engine,
      ready: this.#ready,
      services: this.#services,
      storage,
      emitter: this.#emitter,
      closing: this.#closing.signal,
      newUuid: () => newUuid(now(), crypto),
      now,
    });
  }

  async #openDirect(userId: string): Promise<Conversation> {
    const { conversation } = await this.#services.conversations.openDirectConversation({ userId });
    return this.#conversation(conversation?.conversationId ?? "");
  }

  async #createGroup(title: string, userIds: readonly string[]): Promise<Conversation> {
    const requestId = newUuid(this.#options.now(), this.#options.crypto);
    const request = { requestId, title, userIds: [...userIds] };
    const { conversation } = await this.#services.conversations.createGroup(request);
    return this.#conversation(conversation?.conversationId ?? "");
  }

  readonly #onNetwork = () => this.#engine.wake();

  #network(): Pick<EventTarget, "addEventListener" | "removeEventListener"> | undefined {
    return "addEventListener" in globalThis ? globalThis : undefined;
  }

  /** A listener threw. Its error is told as any other; that of a listener for errors has nowhere to go. */
  #onListenerFailure(error: unknown): void {
    if (this.#tellingFailure) return;
    this.#tellingFailure = true;
    this.#emitter.emit("error", toParleyError(error));
    this.#tellingFailure = false;
  }
  #tellingFailure = false;

  #close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#network()?.removeEventListener("online", this.#onNetwork);
      this.#closing.abort(clientError(Code.Canceled, "CLOSED", "The client is closed."));
      await this.#ready.catch(() => {});
      await this.#engine.close();
      await this.#options.storage.close();
      this.#emitter.clear();
    })();
    return this.#closed;
  }
}

/** Whose data the storage holds, also while nobody is signed in. */
const OWNER_SETTING = "owner";

/** The same promise; nobody has to handle its rejection. */
function quiet(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}
