"""An RTSP server like a camera's: /h264 and /mjpeg show moving colour bars, /slow the same with a picture every 0.8 s,
/sound has no picture.

Usage: rtsp_server.py PORT, or `rtsp_server.py --check` to see whether this Python has the needed packages. RTSP_LOGIN
in the environment, as in `digest me password`, makes it require that login. Prints `ready` when it answers at
127.0.0.1:PORT, and `TEARDOWN PATH` when a client ends its session in the way of the protocol.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

BARS = "videotestsrc is-live=true horizontal-speed=2 ! video/x-raw,format=I420,width=640,height=360,framerate="
MOUNTS = {
    "/h264": f"{BARS}25/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0",
    "/mjpeg": f"{BARS}25/1 ! jpegenc quality=80 ! rtpjpegpay name=pay0",
    "/slow": f"{BARS}5/4 ! jpegenc quality=80 ! rtpjpegpay name=pay0",
    "/sound": "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0",
}
ELEMENTS = ["videotestsrc", "x264enc", "rtph264pay", "jpegenc", "rtpjpegpay", "audiotestsrc", "alawenc", "rtppcmapay"]
ROLE = "viewer"


def ask_for_login(server, method, user, password):
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth = GstRtspServer.RTSPAuth()
    if method == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    server.set_auth(auth)


def tell_goodbyes(_server, client):
    client.connect("teardown-request", lambda _client, context: print("TEARDOWN", context.uri.abspath, flush=True))


def main():
    Gst.init(None)
    missing = [name for name in ELEMENTS if Gst.ElementFactory.find(name) is None]
    if missing:
        sys.exit(f"GStreamer lacks {', '.join(missing)}")
    if sys.argv[1] == "--check":
        return
    login = os.environ.get("RTSP_LOGIN", "").split(" ", 2)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    if len(login) == 3:
        ask_for_login(server, *login)
    for path, launch in MOUNTS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {launch} )")
        factory.set_shared(True)
        if len(login) == 3:
            permissions = GstRtspServer.RTSPPermissions()
            for right in ("access", "construct"):
                permissions.add_permission_for_role(ROLE, f"media.factory.{right}", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    server.connect("client-connected", tell_goodbyes)
    if server.attach(None) == 0:
        sys.exit(f"port {sys.argv[1]} is in use")
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
