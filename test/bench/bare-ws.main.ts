/**
 * The limit to compare group fan-out with: a server that does nothing but `ws.send` in a loop. No storage, no order
 * but arrival, no checks. It speaks just enough of the protocol that the same load process drives it.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { ClientFrameSchema, ServerFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { type WebSocket, WebSocketServer } from "ws";

const server = new WebSocketServer({
  port: 0,
  host: "127.0.0.1",
  path: "/v1/socket",
  perMessageDeflate: false,
});
const everybody = new Set<WebSocket>();
let seq = 0;

function encodeEvent(payload: Uint8Array, conversationId: string): Uint8Array {
  const body = { case: "payload", value: payload } as const;
  const message = {
    conversationId,
    seq: BigInt(seq),
    messageId: BigInt(seq) << 22n,
    senderUserId: "00000000-0000-4000-8000-000000000001",
    senderDeviceId: "00000000-0000-4000-8000-000000000002",
    clientMessageId: "00000000-0000-4000-8000-000000000003",
    acceptTime: { seconds: 1_790_000_000n, nanos: 0 },
    body,
  };
  const event = create(EventSchema, { event: { case: "message", value: message } });
  const bytes = toBinary(EventSchema, event);
  return toBinary(
    ServerFrameSchema,
    create(ServerFrameSchema, { frame: { case: "event", value: bytes } }),
  );
}

server.on("connection", (socket) => {
  socket.on("close", () => everybody.delete(socket));
  socket.on("message", (data: Buffer) => {
    const { requestId, frame } = fromBinary(ClientFrameSchema, data);
    if (frame.case === "open") {
      everybody.add(socket);
      const caughtUp = { frame: { case: "caughtUp", value: {} } } as const;
      socket.send(toBinary(ServerFrameSchema, create(ServerFrameSchema, caughtUp)));
    } else if (frame.case === "send" && frame.value.body.case === "payload") {
      seq += 1;
      const bytes = encodeEvent(frame.value.body.value, frame.value.conversationId);
      for (const other of everybody) if (other !== socket) other.send(bytes);
      const sent = { requestId, frame: { case: "sent", value: { seq: BigInt(seq) } } } as const;
      socket.send(toBinary(ServerFrameSchema, create(ServerFrameSchema, sent)));
    }
  });
});
server.on("listening", () => {
  const address = server.address();
  if (typeof address === "object" && address) process.send?.({ port: address.port });
});
process.on("disconnect", () => process.exit(0));
