// A proxy that does not support upgrades, as in front of many servers; a check can enable them later.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";

export class Proxy {
  /** Whether WebSockets pass. */
  isOpen = false;
  /** How many WebSockets it has blocked. */
  refused = 0;
  #port;
  #upgraded = new Set();
  #server = http.createServer((request, response) => this.#pass(request, response));

  /** Starts a proxy in front of the server at `port` of this machine. */
  static async start(port) {
    const proxy = new Proxy();
    proxy.#port = port;
    proxy.#server.on("upgrade", (request, socket) => proxy.#upgrade(request, socket));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  #options({ method, url, headers }) {
    return { host: "127.0.0.1", port: this.#port, agent: false, method, path: url, headers };
  }

  #pass(request, response) {
    const onward = http.request(this.#options(request), (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  #upgrade(request, socket) {
    socket.on("error", () => {});
    if (!this.isOpen) {
      this.refused += 1;
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const onward = net.connect(this.#port, "127.0.0.1", () => {
      const head = [`${request.method} ${request.url} HTTP/1.1`];
      for (let n = 0; n < request.rawHeaders.length; n += 2) head.push(`${request.rawHeaders[n]}: ${request.rawHeaders[n + 1]}`);
      onward.write(`${head.join("\r\n")}\r\n\r\n`);
      onward.pipe(socket).pipe(onward);
    });
    this.#upgraded.add(onward);
    onward.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#upgraded.delete(onward);
      onward.destroy();
    });
  }

  /** Stops all data from the server on the open WebSockets, without closing any. */
  stall() {
    for (const onward of this.#upgraded) onward.unpipe().pause();
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
