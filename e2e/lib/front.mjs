// Proxies in front of a Framecast, and requests through them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./framecast.mjs";
import { find } from "./tool.mjs";
import { ensure, until } from "./wait.mjs";

const DOCUMENT = fileURLToPath(new URL("../../docs/proxies.md", import.meta.url));
// In the document.
const BACK = "127.0.0.1:5000";

const APACHE_MODULES = ["mpm_event", "authz_core", "alias", "proxy", "proxy_http", "headers"];

// How to run each proxy: what its own file has around a configuration, and its command line. `isTls` says whether the
// proxy gives itself a certificate for `localhost`.
const PROXIES = {
  nginx: {
    program: "nginx",
    around: (folder, text) => `
      daemon off;
      worker_processes 1;
      pid ${folder}/nginx.pid;
      error_log stderr;
      events { worker_connections 64; }
      http {
        access_log off;
        client_body_temp_path ${folder}/body;
        proxy_temp_path ${folder}/proxy;
        fastcgi_temp_path ${folder}/fastcgi;
        uwsgi_temp_path ${folder}/uwsgi;
        scgi_temp_path ${folder}/scgi;
        ${text}
      }`,
    args: (folder, file) => ["-p", folder, "-c", file],
  },
  haproxy: {
    program: "haproxy",
    around: (_folder, text) => text,
    args: (_folder, file) => ["-db", "-f", file],
  },
  caddy: {
    program: "caddy",
    around: (_folder, text) => `{
        admin off
        default_bind 127.0.0.1
        auto_https disable_redirects
        local_certs
        skip_install_trust
      }
      ${text}`,
    args: (_folder, file) => ["run", "--adapter", "caddyfile", "--config", file],
  },
  apache: {
    program: "apache2",
    around: (folder, text, front) => `
      ${APACHE_MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
      ServerRoot ${folder}
      ServerName localhost
      DefaultRuntimeDir ${folder}
      PidFile ${folder}/apache.pid
      ErrorLog ${folder}/error.log
      User www-data
      Group www-data
      Listen 127.0.0.1:${front}
      ${text}`,
    args: (_folder, file) => ["-DFOREGROUND", "-f", file],
  },
};

// What `docs/proxies.md` has for people, and the ports of the check in its place.
const PLACES = {
  nginx: (front) => [["listen 80;", `listen 127.0.0.1:${front};`], ["listen [::]:80;", ""]],
  haproxy: (front) => [["bind :80", `bind 127.0.0.1:${front}`]],
  caddy: (front) => [["cams.example.org {", `https://localhost:${front} {`], ["www.example.org {", `http://localhost:${front} {`]],
  apache: (front) => [["<VirtualHost *:80>", `<VirtualHost 127.0.0.1:${front}>`]],
};
const LANGUAGES = { nginx: "nginx", haproxy: "haproxy", caddy: "caddyfile", apache: "apache" };

/**
 * The configurations of `docs/proxies.md` for `proxy`, for the server at the port `back`: functions of the proxy's own
 * port. The first is for the root of a site, the second for `/cams/`.
 */
export function documented(proxy, back) {
  const fence = new RegExp("```" + LANGUAGES[proxy] + "\n([^`]*)```", "g");
  const texts = [...readFileSync(DOCUMENT, "utf8").matchAll(fence)].map(([, text]) => text);
  ensure(texts.length === 2, `docs/proxies.md has ${texts.length} configurations for ${proxy} instead of two`);
  return texts.map((text) => (front) => {
    const changes = PLACES[proxy](front).filter(([theirs]) => text.includes(theirs));
    ensure(text.includes(BACK), `a configuration for ${proxy} in docs/proxies.md has no ${BACK}`);
    const placed = changes.reduce((all, [theirs, ours]) => all.replace(theirs, ours), text.replace(BACK, `127.0.0.1:${back}`));
    // What the document wants inside of a `server` that people have.
    return text.startsWith("location") ? `server {\nlisten 127.0.0.1:${front};\n${placed}}` : placed;
  });
}

/** Runs `proxy` with the configuration that `write` returns for its port; returns its address. */
export async function startProxy(stage, proxy, write) {
  const folder = mkdtempSync(path.join(tmpdir(), `framecast-${proxy}-`));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const { program, around, args } = PROXIES[proxy];
  const [front, file] = [await freePort(), path.join(folder, "proxy.conf")];
  const text = write(front);
  writeFileSync(file, around(folder, text, front));
  const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const child = spawn(find(program), args(folder, file), { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (bytes) => (said = (said + bytes).slice(-2000)));
  stage.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    await exit;
  });
  const url = `${text.includes("https://localhost") ? "https" : "http"}://localhost:${front}`;
  await until(`${proxy} answers`, async () => child.exitCode !== null || (await ask(`${url}/`)).status > 0);
  ensure(child.exitCode === null, `${proxy} did not start: ${said}`);
  return url;
}

/** How to reach an address of `startProxy` from another address of this machine: over IPv4, with any certificate. */
export const fromElsewhere = { localAddress: "127.0.0.2", family: 4, rejectUnauthorized: false };

/** Sends a request on a connection of its own, without following redirections; returns the response before its body. */
export function request(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const module = url.startsWith("https:") ? https : http;
    const sent = module.request(url, { ...fromElsewhere, agent: false, method, headers }, resolve);
    sent.on("error", reject);
    sent.end(body);
  });
}

/** The same with the body: `{ status, headers, body }`. */
export async function ask(url, options) {
  const response = await request(url, options);
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) };
}
