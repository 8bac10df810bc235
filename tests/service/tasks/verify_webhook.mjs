// Verifies one delivery as Standard Webhooks 1.0 says, with nothing but what Node has.
// node verify_webhook.mjs SECRET NOW < '{"headers": {...}, "body": "..."}'; exits with 1 when it is bad.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const [secret, now] = process.argv.slice(2);
const { headers, body } = JSON.parse(readFileSync(0, "utf8"));
const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
const id = headers["webhook-id"];
const timestamp = headers["webhook-timestamp"];
const wanted = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest();
const fresh = /^\d+$/.test(timestamp) && Math.abs(Number(now) - Number(timestamp)) <= 300;
const good = headers["webhook-signature"].split(" ").some((one) => {
  const [version, signature] = one.split(",");
  const given = Buffer.from(signature ?? "", "base64");
  return version === "v1" && given.length === wanted.length && timingSafeEqual(given, wanted);
});
process.exit(fresh && good && !id.includes(".") ? 0 : 1);
