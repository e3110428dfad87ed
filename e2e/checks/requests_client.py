"""Reads a table with Python: a part of it, then, after a line on standard input, the rest. Prints the outcome."""

import sys

import requests

url, coding = sys.argv[1:]
response = requests.get(url, headers={"Accept-Encoding": coding}, stream=True, timeout=60)
response.raise_for_status()
pieces = response.iter_content(65536)
read = 0
while read < 1 << 20:
    read += len(next(pieces))
print("reading", flush=True)
sys.stdin.readline()
try:
    for piece in pieces:
        read += len(piece)
    print("whole", flush=True)
except requests.exceptions.ChunkedEncodingError:
    print("ChunkedEncodingError", flush=True)
