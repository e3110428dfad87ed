"""For schemathesis: mjpg-streamer's JSON is JSON, although its content type is another."""

import schemathesis


@schemathesis.deserializer("application/x-javascript")
def of_mjpg_streamer(_context, response):
    return response.json()
