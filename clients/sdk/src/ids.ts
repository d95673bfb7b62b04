/** Identifiers that the client makes itself: UUIDv7 (RFC 9562), which sort by the time they were made. */

export type RandomSource = { getRandomValues(array: Uint8Array<ArrayBuffer>): unknown };

/**
 * A new UUIDv7 in lower-case canonical form. `crypto.randomUUID` is not used, because browsers offer it on
 * secure origins only, and a team's own server may be reached by plain HTTP.
 */
export function newUuid(nowMs: number, source: RandomSource): string {
  const bytes = new Uint8Array(16);
  source.getRandomValues(bytes);
  let time = Math.trunc(nowMs);
  for (let index = 5; index >= 0; index--) {
    bytes[index] = time % 256;
    time = Math.floor(time / 256);
  }
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}

const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** True if the text is a UUID in canonical form. */
export function isUuid(text: string): boolean {
  return UUID_PATTERN.test(text);
}
