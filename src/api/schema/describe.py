#!/usr/bin/env python3
"""Makes descriptions.deflate from the JSON schemas in the source of k8s-openapi: describe.py PATH/src/v1_36

One record for each type of the schema: its name and text, then its fields' names and texts.
"""
import json
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES, ENTRIES, TEXT = "\x1d", "\x1e", "\x1f"
LITERAL = r'"((?:[^"\\]|\\.)*)"'


def text(literal):
    return json.loads('"' + literal.replace("\\'", "'") + '"')


def described(source):
    """Name, text and fields of each type that a file implements a schema for."""
    for block in re.finditer(r"impl(?:<[^>]*>)? crate::schemars::JsonSchema for .*?\n}\n", source, re.S):
        block = block.group(0)
        name = re.search(r'"(io\.k8s\.[^"]+)"\.into\(\)', block)
        if not name:
            continue
        own, fields, field = "", {}, None
        for line in block.split("\n"):
            if found := re.match(r'^ {12}"description": ' + LITERAL, line):
                own = text(found.group(1))
                continue
            if found := re.match(r'^ {16}"([^"]+)": [({]', line):
                field = found.group(1)
            found = re.search(r'(?:"description": |insert\("description"\.into\(\), )' + LITERAL, line)
            if found and field:
                fields.setdefault(field, text(found.group(1)))
        yield name.group(1), own, fields


def main():
    found = {}
    for folder, _, files in os.walk(sys.argv[1]):
        for file in files:
            with open(os.path.join(folder, file), encoding="utf-8") as source:
                found.update((name, (own, fields)) for name, own, fields in described(source.read()))
    with open(os.path.join(HERE, "kubernetes-1.36.json"), encoding="utf-8") as file:
        types = json.load(file)["types"]
    records = []
    for name in sorted(types.keys() & found.keys()):
        own, fields = found[name]
        known = sorted((types[name].get("fields") or {}).keys() & fields.keys())
        records.append(ENTRIES.join([name + TEXT + own] + [field + TEXT + fields[field] for field in known]))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(TYPES.join(records).encode()) + packer.flush()
    with open(os.path.join(HERE, "descriptions.deflate"), "wb") as file:
        file.write(packed)


main()
