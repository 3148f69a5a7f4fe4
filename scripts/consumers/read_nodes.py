#!/usr/bin/env python3
"""Prints a shard's rows from the file sink's folders of all nodes, each row once, in the order of (epoch, sequence).

    scripts/consumers/read_nodes.py SHARD FOLDER...
"""
import glob, json, sys, zlib

shard, folders = sys.argv[1], sys.argv[2:]
packs, follows = {}, {}
for folder in folders:
    digits = "[0-9]" * 8
    for sidecar in glob.glob(f"{glob.escape(f'{folder}/{shard}')}-{digits}-{digits}.jsonl.packs"):
        offset = 0
        for line in open(sidecar, "rb"):
            if not line.endswith(b"\n"):  # It is just being written, or was torn by a crash.
                break
            pack = json.loads(line)
            name = pack["epoch"], pack["sequence"]
            data = sidecar[: -len(".packs")]
            if name in packs and packs[name][2:] != (pack["bytes"], pack["crc32"]):
                sys.exit(f"{data}: pack {name[0]}/{name[1]} is another one in {packs[name][0]}")
            packs[name] = data, offset, pack["bytes"], pack["crc32"]
            offset += pack["bytes"]
            if "follows" in pack:
                follows[name] = pack["follows"]["epoch"], pack["follows"]["sequence"]

for first in sorted(follows, reverse=True):  # What lies between an epoch and the pack that it follows came again.
    if first in packs:
        packs = {name: pack for name, pack in packs.items() if name <= follows[first] or name >= first}

for name, (data, offset, size, crc32) in sorted(packs.items()):
    try:
        file = open(data, "rb")
    except FileNotFoundError:
        file = open(data + ".part", "rb")
    file.seek(offset)
    rows = file.read(size)
    if zlib.crc32(rows) == int(crc32, 16):
        sys.stdout.buffer.write(rows)
    elif name != max(packs):
        sys.exit(f"{data}: pack {name[0]}/{name[1]} is damaged")
