/** Which protocol a connection without TLS speaks, by its first bytes. */

/** The start of the HTTP/2 connection preface (RFC 9113, section 3.4); no HTTP/1 method begins like it. */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export type Sniffed = "http1" | "http2" | "undecided";

export function sniff(first: Uint8Array): Sniffed {
  const length = Math.min(first.length, HTTP2_PREFACE.length);
  if (HTTP2_PREFACE.compare(first, 0, length, 0, length) !== 0) return "http1";
  return length === HTTP2_PREFACE.length ? "http2" : "undecided";
}
