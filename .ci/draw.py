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
# A raw string, a character, a string: what a quotation mark in Rust can begin.
TOKEN = re.compile(r'r(#+)"(?s:.*?)"\1|b?\'(?:\\.|[^\'\\])\'|"((?:\\.|[^"\\])*)"', re.S)
# What makes a message: the error derive, the log's macros, the ways to make an error from text, and fields for one.
OPENER = re.compile(
    r"#\[error\(|\b(?:trace|debug|info|warn|error|bail|anyhow|ensure)!\(|\b(?:context|with_context|Err|wrong|refuse|refusal|"
    r"connection_error|ended_early_error|unexpected_answer|timeout_error|bad_parameter|bad|unknown|other|at|new|Failed|"
    r"Custom)\((?=\s*(?:[\w.&:]+,\s*)*(?:&?format!\(|\"|\|\|))|"
    r"\b(?:message|problem|advice|what|hint): (?=&?format!\(|\")|\b(?:let|const) \w+(?:: &str)? =\s*(?=&?format!\(|\")"
)


def tracked(*patterns):
    names = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, text=True, check=True, capture_output=True)
    return names.stdout.split()


def sources():
    """Rust files up to their tests: path, text."""
    for path in tracked("crates/*/src/*.rs", "bench/src/*.rs"):
        if not path.endswith("tests.rs") and "/tests/" not in path:
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
        code = re.sub(r"(?m)^[ \t]*//.*$", lambda comment: " " * len(comment[0]), text)
        strings = {token.start(2): token[2] for token in TOKEN.finditer(code) if token[2] is not None}
        # Without what is in the strings, parentheses and names are those of the code.
        code = TOKEN.sub(lambda token: token[0][0] + "_" * (len(token[0]) - 2) + token[0][-1], code)
        found = set()
        for opener in OPENER.finditer(code):
            end = closing(code, opener.end()) if opener[0].endswith("(") else code.index("\n", opener.end())
            found.update(place for place in strings if opener.end() < place < end)
        for place in sorted(found):
            message = re.sub(r"\\\n\s*", "", strings[place]).replace('\\"', '"')
            if len(re.findall(r"[A-Za-z]{2,}", message)) >= 3:
                yield f"{path}:{text.count(chr(10), 0, place) + 1}", message


def closing(code, start):
    """The place of the parenthesis that closes the one before `start`."""
    depth = 1
    for at in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return len(code)


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
