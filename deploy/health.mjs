// Asks a process whether it serves: `node health.mjs http://127.0.0.1:8080/readyz` or `… grpc://127.0.0.1:7400`.
// Exits with 0 if it does, with 1 and a line if not. It imports nothing of Parley: a container's health check starts
// it every few seconds, and has to be cheap.
import { connect } from "node:http2";

const TIMEOUT_MS = 3000;
/** A gRPC frame: not compressed, length 0; the empty request asks for the whole process. */
const CHECK_REQUEST = Buffer.alloc(5);
/** A gRPC frame of two bytes: field 1 (`status`) is 1 (`SERVING`). */
const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01]);

const url = new URL(process.argv[2] ?? "http://127.0.0.1:8080/readyz");
try {
  await (url.protocol === "grpc:" ? checkGrpc(url) : checkHttp(url));
} catch (error) {
  process.stderr.write(`${url.href} does not serve: ${error.message}\n`);
  process.exitCode = 1;
}

async function checkHttp(page) {
  const response = await fetch(page, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}

/** `grpc.health.v1.Health/Check`. */
async function checkGrpc({ host }) {
  const session = connect(`http://${host}`);
  const timer = setTimeout(() => session.destroy(new Error("no answer in time")), TIMEOUT_MS);
  try {
    const answer = await new Promise((resolve, reject) => {
      session.on("error", reject);
      const request = session.request({
        ":method": "POST",
        ":path": "/grpc.health.v1.Health/Check",
        "content-type": "application/grpc",
        te: "trailers",
      });
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("error", reject);
      request.on("end", () => resolve(Buffer.concat(chunks)));
      request.end(CHECK_REQUEST);
    });
    if (!answer.equals(SERVING)) throw new Error("it answers, and is not ready");
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}
