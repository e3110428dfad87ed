// OctoPrint with OctoPi's webcam addresses, behind a proxy that routes as OctoPi's does: `/webcam/` goes to the server
// at its port, everything else to OctoPrint.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { freePort } from "./framecast.mjs";
import { until } from "./wait.mjs";

const CONFIG = (webcamPort) => `
accessControl: {autologinLocal: true, autologinAs: me, localNetworks: [127.0.0.0/8]}
server:
  firstRun: false
  onlineCheck: {enabled: false}
  pluginBlacklist: {enabled: false}
plugins:
  classicwebcam:
    _config_version: 1
    stream: /webcam/?action=stream
    snapshot: http://127.0.0.1:${webcamPort}/?action=snapshot
  _disabled: [achievements, announcements, discovery, errortracking, health_check, pluginmanager, softwareupdate, tracking]
`;

/** Starts OctoPrint and the proxy in front of it and of the webcam's server; returns the proxy's address. */
export async function startOctoPrint(stage, program, webcamPort) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-octoprint-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(path.join(folder, "config.yaml"), CONFIG(webcamPort));
  execFileSync(program, ["-b", folder, "user", "add", "me", "--password", "pw", "--admin"], { stdio: "ignore" });
  const port = await freePort();
  const args = ["-b", folder, "serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", String(port)];
  const child = spawn(program, args, { stdio: "ignore" });
  stage.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  });
  const url = await proxy(stage, port, webcamPort);
  await until("OctoPrint answers", async () => (await fetch(`${url}/online.txt`)).ok, { withinMs: 300000 });
  return url;
}

async function proxy(stage, octoPrintPort, webcamPort) {
  const target = (request) =>
    request.url.startsWith("/webcam/")
      ? { port: webcamPort, path: request.url.slice("/webcam".length) }
      : { port: octoPrintPort, path: request.url };
  const server = http.createServer((request, response) => {
    const options = { host: "127.0.0.1", method: request.method, headers: request.headers, ...target(request) };
    const passed = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  });
  // OctoPrint's own WebSockets.
  server.on("upgrade", (request, socket) => {
    const onward = net.connect(octoPrintPort, "127.0.0.1", () => {
      const lines = request.rawHeaders.reduce((text, word, n) => text + word + (n % 2 === 0 ? ": " : "\r\n"), "");
      onward.write(`GET ${request.url} HTTP/1.1\r\n${lines}\r\n`);
      socket.pipe(onward).pipe(socket);
    });
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
    socket.on("close", () => onward.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
