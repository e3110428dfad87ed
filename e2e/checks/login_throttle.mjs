// Wrong passwords: fail2ban finds them with the filter from the documentation; and an address takes all connections
// that it gets, while the owner logs in from another network.

import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BINARY, freePort } from "../lib/framecast.mjs";
import { ensure, until } from "../lib/wait.mjs";

const SECURITY = fileURLToPath(new URL("../../docs/security.md", import.meta.url));
const GUESSERS = ["203.0.113.7", "2001:db8::7", "192.0.2.1"];
const CONNECTIONS = 1024;
const TIMES = 50;
const LIMIT_MS = 300000;
// Two cores carry the siege and its target.
const LONGEST_S = 15;
// Text that others can make the program log must not pass for a guess.
const LIE = "WARN wrong password address=198.51.100.66 times=1";

const basic = (password) => `Basic ${Buffer.from(`me:${password}`).toString("base64")}`;

/** The filter of `docs/security.md`, as a file in `folder`. */
function filter(folder) {
  const [, text] = /```ini\n(\[Definition\]\n[^`]*)```/.exec(readFileSync(SECURITY, "utf8"));
  const file = path.join(folder, "framecast.conf");
  writeFileSync(file, text);
  return file;
}

/** The log of guesses, right passwords and lies, by a server that writes its log as `format`. */
async function log(stage, folder, format) {
  const port = await freePort();
  const args = ["--listen", `127.0.0.1:${port}`, "--user", "me", "--log-format", format, "test:"];
  const env = { ...process.env, FRAMECAST_PASSWORD: "right password", XDG_STATE_HOME: folder };
  const child = spawn(BINARY, args, { stdio: ["ignore", "ignore", "pipe"], env });
  stage.defer(() => child.kill("SIGKILL"));
  let text = "";
  child.stderr.on("data", (bytes) => (text += bytes));
  const ask = async (headers, url = "/api/cameras") => (await fetch(`http://127.0.0.1:${port}${url}`, { headers })).status;
  await until("the server answers", async () => (await ask({})) === 401);
  for (const address of GUESSERS) {
    const status = await ask({ Authorization: basic("wrong"), "X-Forwarded-For": address });
    ensure(status === 401, `the answer to a wrong password is ${status}`);
  }
  const right = { Authorization: basic("right password") };
  ensure((await ask({ ...right, "X-Forwarded-For": "198.51.100.1" })) === 200, "the server refuses the right password");
  const lie = { ...right, Origin: `http://${LIE}`, "User-Agent": LIE };
  await ask(lie, "/api/live");
  await ask({ Authorization: `Basic ${Buffer.from(`\n${LIE}:x`).toString("base64")}`, "X-Forwarded-For": "192.0.2.2" });
  await until("the log has all failed logins", () => text.includes("192.0.2.2") && text.includes(LIE));
  return text;
}

/** The addresses that fail2ban finds in the lines of `text`. */
function found(folder, text) {
  const file = path.join(folder, "log");
  writeFileSync(file, text);
  const args = ["--out", "ip", file, filter(folder)];
  return execFileSync("fail2ban-regex", args, { encoding: "utf8" }).trim().split("\n").sort();
}

async function fail2ban(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-fail2ban-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const wanted = [...GUESSERS, "192.0.2.2"].sort().join();
  for (const format of ["human", "json"]) {
    const text = await log(stage, folder, format);
    const journal = text.replaceAll(/^/gm, "Nov 29 06:48:15 cam framecast[4711]: ").replace(/[^\n]*$/, "");
    for (const [kind, lines] of [["in a file", text], ["in the journal", journal]]) {
      const addresses = found(folder, lines).join();
      ensure(addresses === wanted, `${format} ${kind}: fail2ban finds ${addresses} instead of ${wanted}`);
    }
  }
}

async function siege() {
  const script = fileURLToPath(new URL("./siege.py", import.meta.url));
  const args = ["--net", "python3", script, BINARY, String(CONNECTIONS), String(TIMES)];
  const { stdout } = await promisify(execFile)("unshare", args, { timeout: LIMIT_MS });
  const { owner, longest, besieger, lines } = JSON.parse(stdout);
  const others = owner.filter((status) => status !== "200");
  ensure(owner.length === TIMES && others.length === 0, `of ${owner.length} requests of the owner, some got ${others}`);
  ensure(besieger["429"] > besieger["401"] && besieger["401"] > 0, `the answers to the attacker are ${JSON.stringify(besieger)}`);
  ensure(besieger["503"] > 0, "the server refused no connection of the attacker");
  ensure(longest < LONGEST_S, `the owner waited ${longest.toFixed(1)} s for an answer`);
  ensure(lines > 0, "the log does not name the attacker");
  const compared = `${besieger["401"]} guesses compared, ${besieger["429"]} not`;
  return `the owner got ${owner.length} of ${TIMES} answers, the slowest after ${longest.toFixed(1)} s; ${compared}`;
}

const canMakeNetworks = process.getuid() === 0 && existsSync("/dev/net/tun");

export const checks = [
  { name: "fail2ban", needs: ["fail2ban-regex"], run: fail2ban },
  {
    name: "siege",
    needs: ["python3", "ip", "unshare"],
    lacking: () => (canMakeNetworks ? [] : ["root's rights or /dev/net/tun"]),
    isAlone: true,
    limitMs: LIMIT_MS,
    run: siege,
  },
];
