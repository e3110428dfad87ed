// Cameras that Framecast cannot read itself, TLS 1.0 and HTTP/0.9: its reason names a command for curl, and that
// command, pasted with the camera's address in it, shows the camera.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { ensure, until } from "../lib/wait.mjs";

const PICTURE = readFileSync(fileURLToPath(new URL("../../testdata/ffmpeg-mjpeg.jpg", import.meta.url)));
const PART = Buffer.concat([
  Buffer.from(`--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${PICTURE.length}\r\n\r\n`),
  PICTURE,
  Buffer.from("\r\n"),
]);
const PARTS_A_SECOND = 5;

/** Answers every request with `head` and five parts a second. */
function camera(head) {
  return (socket) => {
    let timer;
    socket.on("error", () => {});
    socket.on("close", () => clearInterval(timer));
    socket.once("data", () => {
      socket.write(head);
      timer = setInterval(() => socket.write(PART), 1000 / PARTS_A_SECOND);
    });
  };
}

/** The reason of the camera at `address` contains a command for curl; that command shows the camera. */
async function followsTheLine(stage, address) {
  const reads = await stage.framecast([`old=${address}`]);
  const seen = fetch(`${reads.url}/cameras/old/snapshot.jpg`).catch(() => {});
  const { reason } = await until("the API has a reason", async () => {
    const camera = await reads.camera("old");
    return camera.reason && camera;
  });
  await seen;
  const line = reason.match(/`(exec:curl [^`]*)`/)?.[1];
  ensure(line, `the reason has no curl command: ${reason}`);
  const framecast = await stage.framecast([`old=${line.replace("ADDRESS", address)}`]);
  const stream = new AbortController();
  stage.defer(() => stream.abort());
  await fetch(`${framecast.url}/cameras/old/stream.mjpg`, { signal: stream.signal });
  await until("the camera is live by the curl command", async () => {
    const { state, frames } = await framecast.camera("old");
    return state === "live" && frames >= 5;
  });
}

async function oldTls(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-tls-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name));
  const subject = ["-subj", "/CN=camera", "-days", "2", "-nodes"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "ALL@SECLEVEL=0" };
  const head = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";
  const server = tls.createServer({ key: readFileSync(key), cert: readFileSync(cert), ...old }, camera(head));
  server.on("tlsClientError", () => {});
  await followsTheLine(stage, `https://127.0.0.1:${await stage.listen(server)}/`);
}

async function noHead(stage) {
  const port = await stage.listen(net.createServer(camera("")));
  await followsTheLine(stage, `http://127.0.0.1:${port}/`);
}

export const checks = [
  { name: "way-out-old-tls", needs: ["curl", "openssl"], run: oldTls },
  { name: "way-out-no-head", needs: ["curl"], run: noHead },
];
