#!/usr/bin/env python3
"""Makes protobuf.deflate from the generated.proto files of k8s.io/api and k8s.io/apimachinery: protobuf.py FOLDER…

One record for each message that a kind of the schema reaches: its OpenAPI name, then `number shape name` of each field. A name is that
of the field in JSON, empty where the fields of the message stand in its owner. A shape is a letter (s text, i whole number, b truth, d
number, y bytes, or m and the number of the record of a message), after `*` for a list and `{` for a map.
"""
import json
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
SCALARS = {"string": "s", "int32": "i", "int64": "i", "uint32": "i", "bool": "b", "double": "d", "bytes": "y"}
FIELD = re.compile(r"^\s*(optional|repeated|map<string, *([\w.]+)>)\s*([\w.]*)\s+(\w+)\s*=\s*(\d+);")
# Messages whose Go types write themselves.
OWN = {"Quantity", "IntOrString", "Time", "MicroTime", "Duration", "RawExtension", "FieldsV1"}


def messages(folders):
    found = {}
    for folder in folders:
        for at, _, files in os.walk(folder):
            for file in sorted(files):
                if not file.endswith(".proto"):
                    continue
                with open(os.path.join(at, file), encoding="utf-8") as source:
                    text = source.read()
                package = re.search(r"^package ([\w.]+);", text, re.M).group(1)
                for block in re.finditer(r"^message (\w+) \{\n(.*?)^\}", text, re.S | re.M):
                    fields = []
                    for line in block.group(2).split("\n"):
                        if field := FIELD.match(line):
                            how, of, kind, name, number = field.groups()
                            prefix = {"optional": "", "repeated": "*"}.get(how, "{")
                            kind = of or kind
                            if kind not in SCALARS:
                                kind = kind.lstrip(".") if "." in kind else package + "." + kind
                            fields.append((int(number), prefix, kind, name))
                    found[package + "." + block.group(1)] = fields
    return found


def openapi(message):
    """k8s.io.api.core.v1.Pod → io.k8s.api.core.v1.Pod"""
    return "io.k8s." + message.removeprefix("k8s.io.")


def named(message, field, types, all_messages):
    """The field's name in JSON. Go's structs stand in others as if their fields were the others' own."""
    _, prefix, kind, name = field
    properties = types.get(openapi(message), {}).get("fields")
    if properties is None or name in properties:
        return name
    if spelled := [p for p in properties if p.lower() == name.lower()]:
        return spelled[0]
    below = [n for _, _, _, n in all_messages.get(kind, [])]
    deep = [m for f in all_messages.get(kind, []) for _, _, _, m in all_messages.get(f[2], [])]
    if not prefix and below and any(n in properties for n in below + deep):
        return ""
    print(f"{message}.{name} is no field in JSON", file=sys.stderr)
    return name


def main():
    with open(os.path.join(HERE, "kubernetes-1.36.json"), encoding="utf-8") as file:
        types = json.load(file)["types"]
    all_messages = messages(sys.argv[1:])
    by_openapi = {openapi(m): m for m in all_messages}
    roots = [n for n, t in types.items() if t.get("group-version-kind") and not n.endswith("List") and n in by_openapi]
    order, waiting = [], sorted(by_openapi[n] for n in roots)
    while waiting:
        message = waiting.pop()
        if message in order:
            continue
        order.append(message)
        waiting.extend(kind for _, _, kind, _ in all_messages[message] if kind not in SCALARS)
    order.sort()
    records = []
    for message in order:
        short = message.rsplit(".", 1)[1]
        fields = all_messages[message]
        lines = [openapi(message)]
        for field in fields:
            number, prefix, kind, _ = field
            shape = SCALARS.get(kind) or f"m{order.index(kind)}"
            name = field[3] if short in OWN else named(message, field, types, all_messages)
            lines.append(f"{number} {prefix}{shape} {name}")
        records.append("\n".join(lines))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress("\n\n".join(records).encode()) + packer.flush()
    with open(os.path.join(HERE, "protobuf.deflate"), "wb") as file:
        file.write(packed)
    print(f"{len(records)} messages, {len(packed)} bytes")
    print("without message:", [n for n, t in types.items() if t.get("group-version-kind") and not n.endswith("List") and n not in by_openapi])


main()
