// Monitoring: the rules for alerts, the dashboard and the configuration in the documentation, in a real Prometheus that
// reads the metrics of a real server.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { BINARY, freePort } from "../lib/framecast.mjs";
import { readStream } from "../lib/multipart.mjs";
import { find } from "../lib/tool.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";

const DOCUMENT = fileURLToPath(new URL("../../docs/monitoring.md", import.meta.url));
const FOLDER = fileURLToPath(new URL("../../docs/monitoring/", import.meta.url));
const RULES = "alerts.yml";
const TESTS = "alerts_test.yml";

// The account and the address in the documentation.
const PASSWORD = "right password";
const ADDRESS = "127.0.0.1:5000";

// `door` is lost. Prometheus learns so within ten seconds, because nobody watches the camera.
const CAMERAS = `
[[camera]]
name = "front"
source = "test:?size=320x240&fps=10"

[[camera]]
name = "door"
source = "http://127.0.0.1:1/"
probe = "10s"
required = true
`;

// What Grafana puts in place of its variables. The interval holds many scrapes of a second each.
const VARIABLES = { $instance: ".+", $__rate_interval: "20s" };

/** Runs `promtool check` and `promtool test` on files; fails with what it prints. */
function promtool(...args) {
  try {
    return execFileSync(find("promtool"), args, { cwd: FOLDER, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error(`promtool ${args.join(" ")}: ${error.stdout ?? ""}${error.stderr ?? error.message}`);
  }
}

/** The names of the alerts in the file of rules, and those that its tests expect once to fire. */
function alertNames() {
  const rules = readFileSync(path.join(FOLDER, RULES), "utf8");
  const tests = readFileSync(path.join(FOLDER, TESTS), "utf8");
  // Each case begins with the name of its alert.
  const cases = tests.split("- alertname: ").slice(1).map((text) => ({ name: /^\w+/.exec(text)[0], fires: text.includes("exp_labels") }));
  const tested = (fires) => new Set(cases.filter((each) => each.fires === fires).map(({ name }) => name));
  return { alerts: [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name), firing: tested(true), silent: tested(false) };
}

async function rules() {
  promtool("check", "rules", RULES);
  promtool("test", "rules", TESTS);
  const { alerts, firing, silent } = alertNames();
  const untested = alerts.filter((name) => !firing.has(name) || !silent.has(name));
  ensure(untested.length === 0, `${TESTS} has no case in which these fire, or none in which they do not: ${untested.join(", ")}`);
  const document = readFileSync(DOCUMENT, "utf8");
  const unnamed = alerts.filter((name) => !document.includes(`| \`${name}\` |`));
  ensure(unnamed.length === 0, `docs/monitoring.md does not list: ${unnamed.join(", ")}`);
  return `${alerts.length} rules`;
}

/** Starts `program`, which ends with the check; `said()` is the end of its output. */
function start(stage, program, args, options) {
  const child = spawn(program, args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  let text = "";
  child.stderr.on("data", (bytes) => (text = (text + bytes).slice(-2000)));
  stage.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    await Promise.race([exit, sleep(5000)]);
    child.kill("SIGKILL");
  });
  return { ensureRuns: () => ensure(child.exitCode === null, `${program} has ended: ${text}`) };
}

/** Waits until `started` answers at `url`. */
async function untilUp(started, url, headers = {}) {
  await until(`an answer of ${url}`, async () => {
    started.ensureRuns();
    return (await fetch(url, { headers })).ok;
  });
}

/** A server with the account of the documentation, a watched camera and a lost one; returns its address. */
async function startServer(stage, folder) {
  const [port, file] = [await freePort(), path.join(folder, "framecast.toml")];
  writeFileSync(file, `listen = "127.0.0.1:${port}"\nuser = "me"\n${CAMERAS}`);
  const env = { ...process.env, FRAMECAST_PASSWORD: PASSWORD, XDG_STATE_HOME: folder };
  const server = start(stage, BINARY, ["--config", file], { env });
  const headers = { Authorization: `Basic ${Buffer.from(`me:${PASSWORD}`).toString("base64")}` };
  const url = `http://127.0.0.1:${port}`;
  await untilUp(server, `${url}/healthz`, headers);
  const reader = readStream(`${url}/cameras/front/stream.mjpg`, () => false, headers);
  stage.defer(() => reader.stop());
  return { url, headers, address: `127.0.0.1:${port}` };
}

/** Starts a Prometheus with the configuration of the documentation, for the server at `address`; returns its API. */
async function startPrometheus(stage, folder, address) {
  const [, text] = /```yaml\n([^`]*)```/.exec(readFileSync(DOCUMENT, "utf8"));
  ensure(text.includes(ADDRESS), `the configuration in docs/monitoring.md has no ${ADDRESS}`);
  const file = path.join(folder, "prometheus.yml");
  writeFileSync(file, text.replace(ADDRESS, address).replaceAll("_interval: 15s", "_interval: 1s"));
  writeFileSync(path.join(folder, "framecast.password"), `${PASSWORD}\n`);
  copyFileSync(path.join(FOLDER, RULES), path.join(folder, RULES));
  promtool("check", "config", file);
  const listen = `127.0.0.1:${await freePort()}`;
  const args = [`--config.file=${file}`, `--storage.tsdb.path=${path.join(folder, "data")}`, `--web.listen-address=${listen}`];
  // A query or a file that grows without an end must not outlive the check.
  args.push("--storage.tsdb.retention.size=64MB", "--query.timeout=20s", "--log.level=warn");
  await untilUp(start(stage, find("prometheus"), args, { cwd: folder }), `http://${listen}/-/ready`);
  return async (name, parameters = {}) => {
    const response = await fetch(`http://${listen}/api/v1/${name}?${new URLSearchParams(parameters)}`);
    const { status, data, error } = await response.json();
    ensure(status === "success", `${name} ${JSON.stringify(parameters)}: ${error}`);
    return data;
  };
}

/** The queries of the dashboard, `{ title, expr }`, as Grafana sends them. */
function queries() {
  const { panels } = JSON.parse(readFileSync(path.join(FOLDER, "dashboard.json"), "utf8"));
  const fill = (expr) => Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr);
  const all = panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr: fill(expr) })));
  const unknown = all.filter(({ expr }) => expr.includes("$"));
  ensure(unknown.length === 0, `the dashboard uses unknown variables: ${JSON.stringify(unknown)}`);
  return { panels: panels.length, all };
}

/** Waits until the query of a panel returns numbers. */
async function untilData(api, { title, expr }) {
  await until(`data for the panel "${title}", ${expr}`, async () => {
    const { result } = await api("query", { query: expr });
    return result.length > 0 && result.every(({ value: [, number] }) => Number.isFinite(Number(number)));
  });
}

/** Waits until Prometheus has evaluated all rules, without an error or an alert; checks that their metrics exist. */
async function ensureRules(api, present) {
  const rules = await until("Prometheus has evaluated the rules", async () => {
    const { groups } = await api("rules");
    const all = groups.flatMap(({ rules }) => rules);
    return all.length > 0 && all.every(({ health }) => health !== "unknown") && all;
  });
  const failed = rules.filter(({ health }) => health !== "ok");
  ensure(failed.length === 0, `rules that fail: ${failed.map(({ name, lastError }) => `${name}: ${lastError}`).join("; ")}`);
  ensure(rules.length === alertNames().alerts.length, `Prometheus has ${rules.length} rules`);
  for (const { name, query } of rules) {
    const missing = (query.match(/\b(framecast|process)_\w+/g) ?? []).filter((metric) => !present.has(metric));
    ensure(missing.length === 0, `${name} uses metrics that the server does not have: ${missing.join(", ")}`);
  }
  // Before the first metrics arrived, some were on their way to an alert.
  await until("no alert is active", async () => (await api("alerts")).alerts.length === 0);
  return rules.length;
}

async function dashboard(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-monitoring-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const server = await startServer(stage, folder);
  const api = await startPrometheus(stage, folder, server.address);
  // Some panels show what happens when somebody comes.
  const visits = setInterval(async () => {
    const picture = await fetch(`${server.url}/cameras/front/snapshot.jpg`, { headers: server.headers }).catch(() => null);
    await picture?.arrayBuffer();
  }, 1000);
  stage.defer(() => clearInterval(visits));
  const { panels, all } = queries();
  await Promise.all(all.map((query) => untilData(api, query)));
  const { result } = await api("query", { query: "framecast_camera_lost_seconds > 0" });
  ensure(result.map(({ metric }) => metric.camera).join() === "door", `Prometheus has as lost: ${JSON.stringify(result)}`);
  const count = await ensureRules(api, new Set(await api("label/__name__/values")));
  const ready = await fetch(`${server.url}/readyz`, { headers: server.headers });
  const text = await ready.text();
  ensure(ready.status === 503 && /^camera `door` is lost: .+\n$/.test(text), `/readyz answered ${ready.status}: ${text}`);
  return `${panels} panels with ${all.length} queries, ${count} rules`;
}

export const checks = [
  { name: "monitoring-rules", needs: ["promtool"], run: rules },
  { name: "monitoring-dashboard", needs: ["prometheus", "promtool"], run: dashboard },
];
