import type { Message } from "@bufbuild/protobuf";
import type { StreamRequest, StreamResponse } from "@connectrpc/connect";

// Requests and responses of our hosts are objects with getters, which a spread would lose or, worse,
// evaluate: a derived object reads through to the original instead.

/** The same request with other messages. */
export function deriveStreamRequest(
  request: StreamRequest,
  message: AsyncIterable<Message>,
): StreamRequest {
  return Object.create(request, { message: { value: message, enumerable: true } }) as StreamRequest;
}

/** The same response with other messages. */
export function deriveStreamResponse(
  response: StreamResponse,
  message: AsyncIterable<Message>,
): StreamResponse {
  return {
    stream: true,
    method: response.method,
    service: response.service,
    header: response.header,
    trailer: response.trailer,
    message,
  };
}
