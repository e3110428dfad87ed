"""Takes pictures of a Framecast with Home Assistant's MJPEG camera, and as PiKVM reads uStreamer.

Usage: home_assistant_client.py URL FOLDER. Saves each picture in FOLDER, named by how it was taken.
"""

import asyncio
import pathlib
import sys

import aiohttp
from aiohttp import web
from homeassistant.components.mjpeg.camera import MjpegCamera
from homeassistant.core import CoreState, HomeAssistant

SERVER, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
STREAMS = {"native": "/video_feed", "mjpg-streamer": "/?action=stream", "ustreamer": "/stream"}
STILLS = {"native": "/snapshot.jpg", "mjpg-streamer": "/?action=snapshot", "ustreamer": "/snapshot"}


async def home_assistant(hass, name):
    """A snapshot by its address, a picture from the stream, and the stream as relayed to the frontend."""
    stream, still = SERVER + STREAMS[name], SERVER + STILLS[name]
    with_still = MjpegCamera(name="a", mjpeg_url=stream, still_image_url=still)
    without = MjpegCamera(name="b", mjpeg_url=stream, still_image_url=None)
    with_still.hass = without.hass = hass
    (FOLDER / f"{name}-still.jpg").write_bytes(await with_still.async_camera_image())
    (FOLDER / f"{name}-extracted.jpg").write_bytes(await without.async_camera_image())
    app = web.Application()
    app.router.add_get("/", without.handle_async_mjpeg_stream)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
        reader = aiohttp.MultipartReader.from_response(response)
        for n in range(5):
            part = await reader.next()
            (FOLDER / f"{name}-passed-on-{n}.jpg").write_bytes(bytes(await part.read()))
    await runner.cleanup()


async def pikvm():
    """The requests of kvmd/clients/streamer.py in PiKVM to a uStreamer, and its parsing of the answers."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{SERVER}/stream", params={"extra_headers": "1"}) as response:
            response.raise_for_status()
            reader = aiohttp.MultipartReader.from_response(response)
            for n in range(5):
                frame = await reader.next()
                data = bytes(await frame.read())
                assert frame.headers["X-UStreamer-Online"] == "true"
                size = f"{int(frame.headers['X-UStreamer-Width'])}x{int(frame.headers['X-UStreamer-Height'])}"
                assert size == "640x360", size
                (FOLDER / f"pikvm-stream-{n}.jpg").write_bytes(data)
            async with session.get(f"{SERVER}/state") as state:
                source = (await state.json())["result"]["source"]
                assert source["online"] is True and source["resolution"] == {"width": 640, "height": 360}, source
        async with session.get(f"{SERVER}/snapshot") as snapshot:
            assert snapshot.headers["X-UStreamer-Online"] == "true"
            assert int(snapshot.headers["X-UStreamer-Width"]) == 640
            (FOLDER / "pikvm-snapshot.jpg").write_bytes(await snapshot.read())


async def main():
    hass = HomeAssistant(str(FOLDER))
    hass.set_state(CoreState.running)
    for name in STREAMS:
        await home_assistant(hass, name)
    await pikvm()


asyncio.run(main())
