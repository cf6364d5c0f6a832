// Receives docsave's webhooks, checks them, and saves each change once. Only Node's own modules.
//
//   WEBHOOK_SECRET=whsec_… node docs/examples/webhook_receiver.mjs 9000
//
// Changes are lines of webhook_receiver.jsonl. A repeat is recognised by its id, also after a restart.
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const TOLERANCE_SECONDS = 300;
const FILE = "webhook_receiver.jsonl";
const lines = existsSync(FILE) ? readFileSync(FILE, "utf8").split("\n").filter(Boolean) : [];
const handled = new Set(lines.map((line) => JSON.parse(line).id));

// Whether whoever knows the secret sent exactly this, a short while ago.
function verify(secret, headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_SECONDS)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // Two signatures come while the secret is being replaced; one of them must fit.
  return (headers["webhook-signature"] ?? "").split(" ").some((each) => {
    const given = Buffer.from(each.replace(/^v1,/, ""), "base64");
    return each.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

// Here your program does its work, in one step with remembering the id.
function saveOnce(id, event) {
  if (handled.has(id)) return;
  appendFileSync(FILE, `${JSON.stringify({ id, event })}\n`);
  handled.add(id);
}

createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts);
    const id = request.headers["webhook-id"];
    if (request.method !== "POST" || !verify(process.env.WEBHOOK_SECRET, request.headers, body)) {
      response.writeHead(400).end();
      return;
    }
    saveOnce(id, JSON.parse(body));
    response.writeHead(204).end(); // only now: docsave sends it again if we die before
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
