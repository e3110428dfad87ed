"""The owner and a besieger of one server, in two network namespaces.

unshare --net python3 siege.py FRAMECAST CONNECTIONS TIMES

The besieger holds as many connections as it can get, up to CONNECTIONS, guesses on all of them, and reconnects whenever
it is refused. Meanwhile the owner logs in TIMES times, each time on a new connection. Prints the results of both as
JSON. A pair of TUN devices joins the two namespaces, and this program carries packets between them.
"""

import base64
import fcntl
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

NEAR, FAR, PORT = "10.99.0.1", "10.99.0.2", 5000
PASSWORD = "right password"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
GUESSES_AT_ONCE = 8


def request(password):
    token = base64.b64encode(f"me:{password}".encode()).decode()
    return f"GET /api/cameras HTTP/1.1\r\nHost: {NEAR}:{PORT}\r\nAuthorization: Basic {token}\r\n\r\n".encode()


def device(name, address, peer):
    """Creates a TUN device in this namespace and brings it up; returns its file."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", address, "peer", peer, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return tun


def carry(source, sink):
    """Carries packets until a device is gone."""
    while packet := os.read(source, 65536):
        os.write(sink, packet)


class Besieger:
    """Holds connections and guesses on each of them, all in one thread."""

    def __init__(self, most):
        self.most = most
        self.selector = selectors.DefaultSelector()
        self.counts = {"401": 0, "429": 0, "503": 0, "other": 0, "opened": 0, "broken": 0}
        self.held = 0

    def open(self):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex((NEAR, PORT))
        self.selector.register(connection, selectors.EVENT_WRITE)
        self.held += 1
        self.counts["opened"] += 1

    def close(self, connection):
        self.selector.unregister(connection)
        connection.close()
        self.held -= 1

    def turn(self):
        while self.held < self.most:
            self.open()
        for key, events in self.selector.select(0.1):
            connection = key.fileobj
            try:
                if events & selectors.EVENT_WRITE:
                    connection.send(request("wrong") * GUESSES_AT_ONCE)
                    self.selector.modify(connection, selectors.EVENT_READ)
                    continue
                answer = connection.recv(65536)
            except OSError:
                self.counts["broken"] += 1
                self.close(connection)
                continue
            for status in ("401", "429", "503"):
                self.counts[status] += answer.count(f"HTTP/1.1 {status} ".encode())
            if not answer or b" 503 " in answer:
                self.close(connection)
            else:
                # The connection keeps its place, and guesses again.
                self.selector.modify(connection, selectors.EVENT_WRITE)


def far(pipe, most):
    """The besieger's side: passes on its device, besieges until it is told to stop, and reports the result."""
    pipe = socket.socket(fileno=pipe)
    socket.send_fds(pipe, [b"tun"], [device("far", FAR, NEAR)])
    pipe.recv(1)
    pipe.setblocking(False)
    besieger = Besieger(most)
    while True:
        besieger.turn()
        try:
            pipe.recv(1)
            break
        except BlockingIOError:
            continue
    pipe.setblocking(True)
    pipe.sendall(json.dumps(besieger.counts).encode())


def ask(password):
    """The status of one request on a new connection."""
    with socket.create_connection((NEAR, PORT), timeout=20) as connection:
        connection.sendall(request(password))
        return connection.recv(65536).split(b" ")[1].decode()


def owner(times):
    """The status of each of the owner's logins, and the longest time that one took, in seconds."""
    statuses, longest = [], 0
    for _ in range(times):
        begun = time.monotonic()
        try:
            statuses.append(ask(PASSWORD))
        except (OSError, IndexError) as error:
            statuses.append(repr(error))
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.1)
    return statuses, longest


def serve(binary, folder):
    """Starts the server; returns it once it answers."""
    env = {**os.environ, "FRAMECAST_PASSWORD": PASSWORD, "XDG_STATE_HOME": folder}
    arguments = [binary, "--listen", f"0.0.0.0:{PORT}", "--user", "me", "front=test:"]
    log = open(os.path.join(folder, "log"), "wb")
    server = subprocess.Popen(arguments, env=env, stdout=log, stderr=log)
    until = time.monotonic() + 30
    while True:
        try:
            if ask(PASSWORD) == "200":
                return server
        except OSError:
            pass
        if server.poll() is not None or time.monotonic() > until:
            sys.exit("framecast did not start: " + open(log.name).read())
        time.sleep(0.05)


def main(binary, most, times):
    ours, theirs = socket.socketpair()
    command = ["unshare", "--net", sys.executable, __file__, "--far", str(theirs.fileno()), str(most)]
    besieger = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    near_tun = device("near", NEAR, FAR)
    _, [far_tun], _, _ = socket.recv_fds(ours, 16, 1)
    for pair in ((near_tun, far_tun), (far_tun, near_tun)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        server = serve(binary, folder)
        try:
            ours.sendall(b"b")
            # The owner comes after the siege has begun.
            time.sleep(3)
            statuses, longest = owner(times)
            ours.sendall(b"e")
            counts = json.loads(ours.recv(4096))
        finally:
            server.terminate()
            server.wait()
        with open(os.path.join(folder, "log")) as log:
            lines = sum("wrong password" in line and FAR in line for line in log)
    besieger.wait()
    print(json.dumps({"owner": statuses, "longest": longest, "besieger": counts, "lines": lines}))


if sys.argv[1] == "--far":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    far(int(sys.argv[2]), int(sys.argv[3]))
else:
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
# The carrying threads block in the kernel; this ends them.
sys.stdout.flush()
os._exit(0)
