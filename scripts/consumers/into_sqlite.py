#!/usr/bin/env python3
"""A consumer in twenty lines: rows into an SQLite database, each once, whatever is killed when.

sink=exec   exec_resume=consumer   exec_command=scripts/consumers/into_sqlite.py FILE
"""
import json, os, sqlite3, sys

db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("CREATE TABLE IF NOT EXISTS changes (shard TEXT, line TEXT)")
db.execute("CREATE TABLE IF NOT EXISTS packs (shard TEXT PRIMARY KEY, line TEXT)")
shard = os.environ["FOUNTAIN_SHARD"]
last_pack = lambda: (db.execute("SELECT line FROM packs WHERE shard = ?", [shard]).fetchone() or ["none"])[0]

for line in map(bytes.decode, sys.stdin.buffer):
    pack = json.loads(line)
    if pack["op"] == "resume":  # Asked once, at the start: which pack do we hold?
        held = last_pack()
        print("resume", held, flush=True)
        continue
    rows = [(shard, sys.stdin.buffer.readline().decode()) for _ in range(pack["rows"])]
    if sum(len(row.encode()) for _, row in rows) != pack["bytes"]:
        sys.exit("the input ended inside of a pack")
    db.execute("BEGIN IMMEDIATE")
    if last_pack() != held:  # Fountain was killed and a later consumer has taken over.
        sys.exit("another consumer works for this shard")
    db.executemany("INSERT INTO changes VALUES (?, ?)", rows)
    held = line.strip()
    db.execute("REPLACE INTO packs VALUES (?, ?)", [shard, held])
    db.execute("COMMIT")
    print("ack", pack["epoch"], pack["sequence"], flush=True)
