#!/usr/bin/env python3
"""Draws prose for a reader who does not know the program: 60 doc comments, 30 log lines and errors, 20 paragraphs.

    python3 .ci/draw.py SEED

The same seed draws the same texts from the same revision. The reader counts the texts that need a second reading.
"""

import random
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRING = r'"((?:\\.|[^"\\])*)"'
# What makes a message: the error derive, the log's macros, and the ways to make an error from text.
MESSAGE = re.compile(
    r"(?:#\[error\(|\b(?:trace|debug|info|warn|error|bail|anyhow)!\(|\bcontext\(|with_context\(\|\| format!\(|"
    r"\bErr\(format!\(|\bErr\(|\bHttpError::\w+\(|ConfigError::new\()" + r'[^"\n;]*?\n?[^"\n;]*?' + STRING
)


def tracked(*patterns):
    names = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, text=True, check=True, capture_output=True)
    return names.stdout.split()


def sources():
    """Rust files up to their tests: path, text."""
    for path in tracked("crates/*/src/*.rs", "bench/src/*.rs"):
        if not path.endswith("tests.rs"):
            yield path, (ROOT / path).read_text().split("\n#[cfg(test)]\nmod tests {")[0]


def doc_comments():
    """Each doc comment with the line that it documents."""
    for path, text in sources():
        lines = text.split("\n")
        block = []
        for number, line in enumerate(lines):
            code = line.strip()
            if re.match(r"//[/!]( |$)", code):
                block.append(code)
                continue
            if block and len(" ".join(block).split()) > 4:
                item = "" if block[0].startswith("//!") else code
                yield f"{path}:{number + 1 - len(block)}", "\n".join([*block, item] if item else block)
            block = []


def messages():
    """Each text of a log line or an error that has at least three words."""
    for path, text in sources():
        code = re.sub(r"(?m)^\s*//.*$", lambda comment: " " * len(comment[0]), text)
        for found in MESSAGE.finditer(code):
            message = re.sub(r"\\\n\s*", "", found[1]).replace('\\"', '"')
            if len(re.findall(r"[A-Za-z]{2,}", message)) >= 3:
                yield f"{path}:{code.count(chr(10), 0, found.start(1)) + 1}", message


def paragraphs():
    """Each paragraph and list of the documents, without tables, headings and code."""
    for path in tracked("docs/*.md"):
        text = re.sub(r"(?ms)^ *```.*?^ *```", "", (ROOT / path).read_text())
        line = 1
        for part in re.split(r"(\n{2,})", text):
            words = part.strip()
            if len(words.split()) >= 8 and not words.startswith(("|", "#", "<")):
                yield f"{path}, about line {line}", words
            line += part.count("\n")


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit(__doc__)
    draw = random.Random(int(sys.argv[1]))
    for title, texts, count in [
        ("Doc comments", doc_comments(), 60),
        ("Log lines and errors", messages(), 30),
        ("Paragraphs of docs/", paragraphs(), 20),
    ]:
        print(f"## {title}\n")
        for number, (place, text) in enumerate(draw.sample(sorted(texts), count), 1):
            print(f"{number}. ({place})\n{text}\n")


if __name__ == "__main__":
    main()
