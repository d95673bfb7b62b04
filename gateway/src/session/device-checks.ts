/** Whether devices are still signed in, as the directory says; asked in batches, remembered for a moment. */
import type { Client } from "@connectrpc/connect";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import type { Clock } from "@parley/platform/clock";

export type DeviceChecks = {
  /** True if the device is revoked or unknown. Rejects when the directory does not answer. */
  isRevoked(deviceId: string): Promise<boolean>;
  /** The same, and never an answer from before the question. */
  isRevokedNow(deviceId: string): Promise<boolean>;
  /** The revoked ones among many devices, asked now. */
  revokedAmong(deviceIds: readonly string[]): Promise<string[]>;
  /** Forgets every answer: something was signed out, or may have been. */
  forget(): void;
};

/** A revocation takes effect on calls within this time also where no session of the device lives. */
const ANSWER_MS_MAX = 1000;
/** Devices that are remembered; within the time above not more call at one gateway. */
const DEVICES_MAX = 20_000;
/** Devices of one request, as the contract says. */
const DEVICES_PER_REQUEST_MAX = 1000;

export function createDeviceChecks(options: {
  readonly directory: Pick<Client<typeof DirectoryService>, "checkDevices">;
  readonly clock: Clock;
}): DeviceChecks {
  const { directory, clock } = options;
  let answers = new Map<string, { revoked: boolean; askedMs: number }>();
  let asking: Map<string, PromiseWithResolvers<boolean>> | undefined;

  const revokedAmong = async (deviceIds: readonly string[]) => {
    const revoked: string[] = [];
    for (let at = 0; at < deviceIds.length; at += DEVICES_PER_REQUEST_MAX) {
      const some = deviceIds.slice(at, at + DEVICES_PER_REQUEST_MAX);
      const answer = await directory.checkDevices({ deviceIds: some });
      revoked.push(...answer.revokedDeviceIds);
    }
    return revoked;
  };

  const ask = async (asked: Map<string, PromiseWithResolvers<boolean>>) => {
    asking = undefined;
    const askedMs = clock.monotoneMs();
    const kept = answers;
    try {
      const revoked = new Set(await revokedAmong([...asked.keys()]));
      for (const [deviceId, { resolve }] of asked) {
        if (kept.size >= DEVICES_MAX) kept.clear();
        kept.set(deviceId, { revoked: revoked.has(deviceId), askedMs });
        resolve(revoked.has(deviceId));
      }
    } catch (error) {
      for (const { reject } of asked.values()) reject(error);
    }
  };

  const isRevokedNow = (deviceId: string): Promise<boolean> => {
    if (asking === undefined) {
      const asked = new Map<string, PromiseWithResolvers<boolean>>();
      asking = asked;
      // Calls of one turn of the event loop are one question.
      setImmediate(() => void ask(asked));
    }
    let question = asking.get(deviceId);
    if (question === undefined) {
      question = Promise.withResolvers<boolean>();
      asking.set(deviceId, question);
    }
    return question.promise;
  };

  return {
    isRevoked(deviceId) {
      const known = answers.get(deviceId);
      if (known !== undefined && clock.monotoneMs() - known.askedMs < ANSWER_MS_MAX) {
        return Promise.resolve(known.revoked);
      }
      return isRevokedNow(deviceId);
    },
    isRevokedNow,
    revokedAmong,
    forget() {
      // A new map, so that a question that is on its way does not put an old answer back.
      answers = new Map();
    },
  };
}
