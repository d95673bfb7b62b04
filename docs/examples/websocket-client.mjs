const url = process.env.PARLEY_URL ?? "http://localhost:8080";
const [username, password, peer] = process.argv.slice(2);
let token;

async function call(method, body) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(`${url}/parley.${method}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

const device = { name: "thirty lines", platform: "DEVICE_PLATFORM_NODE" };
token = (await call("account.v1.AccountService/SignIn", { username, password, device })).tokens.accessToken;
const { users } = await call("account.v1.AccountService/SearchUsers", { query: peer });
const { conversation } = await call("conversation.v1.ConversationService/OpenDirectConversation", { userId: users[0].userId });
const { conversationId } = conversation;

const socket = new WebSocket(`${url.replace("http", "ws")}/v1/socket`, "parley.v1.json");
const send = (frame) => socket.send(JSON.stringify(frame));
socket.onopen = () => {
  send({ requestId: 1, open: { accessToken: token, positionsComplete: true } });
  setInterval(() => send({ heartbeat: {} }), 5_000);
};
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.decodedEvent?.message?.content?.text) console.log("<", frame.decodedEvent.message.content.text.text);
  if (frame.refused || frame.goodbye) console.error(data);
  if (frame.caughtUp) process.stdin.setEncoding("utf8").on("data", (line) =>
    send({ requestId: 2, send: { conversationId, clientMessageId: crypto.randomUUID(), content: { text: { text: line.trim() } } } }));
};
