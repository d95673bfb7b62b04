/** Which form a call's messages have. */
import type { HandlerContext } from "@connectrpc/connect";

/** True for calls with JSON messages, whichever protocol carries them. */
export function isJson(
  context: Pick<HandlerContext, "requestHeader" | "requestMethod" | "url">,
): boolean {
  if (context.requestMethod === "GET") {
    return new URL(context.url, "http://gateway").searchParams.get("encoding") === "json";
  }
  return /\bjson\b/.test(context.requestHeader.get("content-type") ?? "");
}
