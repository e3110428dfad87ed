"""What Home Assistant does with a go2rtc, by its library `go2rtc-client`. Prints the outcome as JSON.

The library needs Python 3.12, only because its functions have lists of type parameters. An older Python gets it without
these lists.
"""

import asyncio
import importlib.machinery
import json
import re
import sys


class WithoutTypeParameters(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, **options):
        return super().source_to_code(re.sub(rb"(def \w+)\[[^\]]*\]\(", rb"\1(", data), path, **options)


if sys.version_info < (3, 12):
    extensions = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    hook = importlib.machinery.FileFinder.path_hook(extensions, (WithoutTypeParameters, [".py"]))
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()

from aiohttp import ClientSession  # noqa: E402
from go2rtc_client import Go2RtcRestClient  # noqa: E402
from go2rtc_client.exceptions import Go2RtcClientError  # noqa: E402
from go2rtc_client.ws import Go2RtcWsClient, WebRTCOffer  # noqa: E402


async def refused(call):
    try:
        await call
    except Go2RtcClientError as error:
        return error.__cause__.status
    return None


async def main(url):
    async with ClientSession() as session:
        client = Go2RtcRestClient(session, url)
        version = await client.validate_server_version()
        streams = await client.streams.list()
        await client.streams.add("front", ["rtsp://camera.example/", "ffmpeg:front#audio=opus"])
        outcome = {
            "version": str(version),
            "streams": {name: [producer.url for producer in stream.producers] for name, stream in streams.items()},
            "unknown": await refused(client.streams.add("porch", "rtsp://camera.example/")),
            "picture": list((await client.get_jpeg_snapshot("front", width=320))[:2]),
        }
        told = asyncio.get_running_loop().create_future()
        socket = Go2RtcWsClient(session, url, source="front")
        socket.subscribe(lambda message: told.done() or told.set_result(message.error))
        await socket.send(WebRTCOffer("v=0", []))
        outcome["offer"] = await asyncio.wait_for(told, 10)
    print(json.dumps(outcome))


asyncio.run(main(sys.argv[1]))
