"""An RTSP camera that sends only over UDP: 640x360 pictures, 10 a second, as RTP/JPEG (RFC 2435).

Usage: rtsp_udp_server.py PORT KIND. KIND is the answer to a SETUP for TCP, and the fate of the pictures:
  refusing   461 Unsupported Transport
  other      200 with a transport of UDP, as if that had been requested
  silent     461, and no datagrams over UDP, as if a firewall dropped them
ffmpeg makes the pictures. Prints `ready` when it answers at 127.0.0.1:PORT, then on each line how many were sent.
"""

import asyncio
import itertools
import re
import socket
import struct
import subprocess
import sys

WIDTH, HEIGHT, RATE = 640, 360, 10
PAYLOAD_BYTES = 1200
# "v=0" to "t=0 0" have to be there (RFC 4566); 26 is JPEG (RFC 3551).
SESSION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:pictures\r\n"
START_OF_SCAN, QUANTISATION = 0xDA, 0xDB


def films():
    """The pictures of a film, each as its quantisation tables and its scan."""
    arguments = f"-v error -f lavfi -i testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE} -frames:v 60 -pix_fmt yuvj420p"
    command = ["ffmpeg", *arguments.split(), "-c:v", "mjpeg", "-huffman", "default", "-q:v", "5", "-f", "mjpeg", "-"]
    film = subprocess.run(command, capture_output=True, check=True).stdout
    return [split(b"\xff\xd8" + picture) for picture in film.split(b"\xff\xd8\xff")[1:]]


def split(picture):
    # The split above consumed the first byte of the next marker.
    picture = picture[:2] + b"\xff" + picture[2:]
    tables, at = {}, 2
    while True:
        marker, length = picture[at + 1], struct.unpack_from(">H", picture, at + 2)[0]
        segment, at = picture[at + 4 : at + 2 + length], at + 2 + length
        if marker == QUANTISATION:
            for start in range(0, len(segment), 65):
                tables[segment[start] & 15] = segment[start + 1 : start + 65]
        if marker == START_OF_SCAN:
            return tables[0] + tables.get(1, tables[0]), picture[at:].rsplit(b"\xff\xd9", 1)[0]


def packets(picture, sequence, stamp):
    tables, scan = picture
    for offset in range(0, len(scan), PAYLOAD_BYTES):
        is_last = offset + PAYLOAD_BYTES >= len(scan)
        head = struct.pack(">BBHII", 0x80, 26 | (0x80 if is_last else 0), next(sequence) % 65536, stamp % 2**32, 7)
        # Type 1 is 4:2:0, quality 255 includes its tables; sides are counted in blocks of 8.
        head += struct.pack(">IBBBB", offset, 1, 255, WIDTH // 8, HEIGHT // 8)
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + scan[offset : offset + PAYLOAD_BYTES]


class Camera:
    def __init__(self, kind):
        self.kind = kind
        self.pictures = films()
        self.sent = 0

    async def play(self, udp, viewer):
        sequence, clock = itertools.count(), asyncio.get_running_loop()
        begun_at = clock.time()
        for number, picture in enumerate(itertools.cycle(self.pictures)):
            for packet in packets(picture, sequence, number * 90000 // RATE):
                udp.sendto(packet, viewer)
            self.sent += 1
            print(self.sent, flush=True)
            await asyncio.sleep(begun_at + (number + 1) / RATE - clock.time())

    async def serve(self, reader, writer):
        udp, viewer, playing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), None, None
        udp.bind(("127.0.0.1", 0))
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                method = head.split(" ", 1)[0]
                number = re.search(r"(?im)^cseq: *(\d+)", head)[1]
                status, lines, body = "200 OK", ["Session: 1"], ""
                if method == "OPTIONS":
                    lines = ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"]
                elif method == "DESCRIBE":
                    body = SESSION
                    lines = ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                elif method == "SETUP":
                    ports = re.search(r"client_port=(\d+)-(\d+)", head)
                    port = udp.getsockname()[1]
                    if ports:
                        viewer = ("127.0.0.1", int(ports[1]))
                        lines.append(f"Transport: RTP/AVP;unicast;{ports[0]};server_port={port}-{port + 1}")
                    elif self.kind == "other":
                        lines.append(f"Transport: RTP/AVP;unicast;server_port={port}-{port + 1}")
                    else:
                        status = "461 Unsupported Transport"
                elif method == "PLAY" and viewer and self.kind != "silent":
                    playing = asyncio.ensure_future(self.play(udp, viewer))
                answer = [f"RTSP/1.0 {status}", f"CSeq: {number}", *lines, "", body]
                writer.write("\r\n".join(answer).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if playing:
                playing.cancel()
            udp.close()
            writer.close()


async def main():
    camera = Camera(sys.argv[2])
    server = await asyncio.start_server(camera.serve, "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
