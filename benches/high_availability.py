#!/usr/bin/env python3
"""Measures how soon another node goes on, and what many shards write to ZooKeeper. scripts/bench-ha.sh prepares and calls it.

usage: high_availability.py PLAN.json

The plan: {"program": fountain, "folder": for homes, "zookeeper": port, "mysql": port, "client": command that reads SQL,
"user": …, "password_file": …, "session_ms": …, "rounds": n, "shards": n, "seconds": n}
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

PATIENCE_S = 120


def fail(what):
    sys.exit(f"high_availability.py: {what}")


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            fail(f"waited {PATIENCE_S} s in vain: {what}")
        time.sleep(0.01)


class Node:
    """One fountain node in a home of its own; remembers when its first row of a run came."""

    def __init__(self, plan, name, keys):
        self.home = os.path.join(plan["folder"], name)
        os.makedirs(self.home, exist_ok=True)
        self.log = os.path.join(self.home, "stderr")
        self.command = [plan["program"], "run"]
        for key, value in keys.items():
            self.command += ["-D", f"{key}={value}"]

    def start(self):
        self.first_row = None
        self.process = subprocess.Popen(
            self.command,
            env={"PATH": os.environ["PATH"], "FOUNTAIN_HOME": self.home},
            stdout=subprocess.PIPE,
            stderr=open(self.log, "ab"),
        )
        threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True).start()

    def read(self, stdout):
        for _ in stdout:
            if self.first_row is None:
                self.first_row = time.monotonic()

    def end(self, how):
        self.process.send_signal(how)
        return time.monotonic()


class Writer(threading.Thread):
    """Statements in a row through one client, without a pause of more than some milliseconds between them."""

    def __init__(self, plan, statements, pause_s):
        super().__init__(daemon=True)
        self.client = subprocess.Popen(plan["client"], stdin=subprocess.PIPE)
        self.statements, self.pause_s, self.over = statements, pause_s, False

    def run(self):
        for statement in self.statements:
            if self.over:
                break
            self.client.stdin.write(statement.encode() + b";\n")
            self.client.stdin.flush()
            time.sleep(self.pause_s)

    def end(self):
        self.over = True
        self.join()
        self.client.stdin.close()
        if self.client.wait() != 0:
            fail("the client failed")


def sql(plan, statements):
    subprocess.run(plan["client"], input=statements.encode(), check=True)


def transactions_of(port):
    """The number of ZooKeeper's last transaction: each write is one."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"srvr")
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    return int(next(line for line in answer.splitlines() if line.startswith("Zxid:")).split("0x")[1], 16)


def common(plan, name):
    return {
        "zk_string": f"127.0.0.1:{plan['zookeeper']}",
        "zk_session_timeout": plan["session_ms"],
        "zk_save_position_root_path": f"/bench/{name}/points",
        "zk_leader_latch_path": f"/bench/{name}/leader",
        "mysql_username": plan["user"],
        "mysql_password_file": plan["password_file"],
        "mysql_ssl_mode": "disabled",
        "dispatch_ddl": "none",
    }


def inserts():
    number = 0
    while True:
        number += 1
        yield f"INSERT INTO bench_ha.t VALUES ({number})"


def take_overs(plan, how):
    """Seconds from the leader's end to the standby's first row, round by round."""
    name = f"take_over_{how.name}"
    keys = {
        **common(plan, name),
        "mysql_shard_0_server": "127.0.0.1",
        "mysql_shard_0_port": plan["mysql"],
        "sink": "stdout",
    }
    sql(plan, "DROP DATABASE IF EXISTS bench_ha; CREATE DATABASE bench_ha; CREATE TABLE bench_ha.t (id int PRIMARY KEY);")
    leader, standby = Node(plan, f"{name}_a", keys), Node(plan, f"{name}_b", keys)
    leader.start()
    time.sleep(1)
    writer = Writer(plan, inserts(), 0.005)
    writer.start()
    wait_for("the first node's first row", lambda: leader.first_row)
    seconds = []
    for _ in range(plan["rounds"]):
        standby.start()
        # It has a latch well before, and the leader has saved its point at least once.
        time.sleep(plan["session_ms"] / 1000 + 1)
        if standby.first_row is not None:
            fail("two nodes deliver")
        ended = leader.end(how)
        wait_for("the standby's first row", lambda: standby.first_row)
        seconds.append(standby.first_row - ended)
        leader.process.wait()
        leader, standby = standby, leader
    writer.end()
    leader.end(signal.SIGTERM)
    leader.process.wait()
    return seconds


def one_row_in_each(shards):
    number = 0
    while True:
        number += 1
        yield f"INSERT INTO bench_ha_{number % shards}.t VALUES ({number})"


def writes(plan):
    """ZooKeeper's transactions a second while every shard's point moves all the time."""
    shards = plan["shards"]
    for shard in range(shards):
        sql(plan, f"CREATE DATABASE bench_ha_{shard}; CREATE TABLE bench_ha_{shard}.t (id int PRIMARY KEY);")
    keys = {**common(plan, "writes"), "sink": "null"}
    for shard in range(shards):
        keys[f"mysql_shard_{shard}_server"] = "127.0.0.1"
        keys[f"mysql_shard_{shard}_port"] = plan["mysql"]
        keys[f"mysql_shard_{shard}_filter_shard_table_white"] = f"bench_ha_{shard}.t"
    node = Node(plan, "writes", keys)
    node.start()
    writer = Writer(plan, one_row_in_each(shards), 0.002)
    writer.start()
    # The first points of all shards are written at once; what counts is what goes on.
    time.sleep(30)
    before = transactions_of(plan["zookeeper"])
    time.sleep(plan["seconds"])
    written = transactions_of(plan["zookeeper"]) - before
    writer.end()
    if node.process.poll() is not None:
        fail(f"the node has ended: {node.log}")
    node.end(signal.SIGTERM)
    node.process.wait()
    return written / plan["seconds"]


def row(what, seconds):
    print(f"{what:<44} {statistics.median(seconds):8.2f} {max(seconds):8.2f} {len(seconds):8}")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    print(f"session of {plan['session_ms']} ms; seconds to the standby's first row")
    print(f"{'':<44} {'median':>8} {'worst':>8} {'rounds':>8}")
    row("after kill -9 of the leader", take_overs(plan, signal.SIGKILL))
    row("after its orderly stop", take_overs(plan, signal.SIGTERM))
    rate = writes(plan)
    print(f"writes to ZooKeeper, {plan['shards']} shards under load: {rate:.1f} a second over {plan['seconds']} s")


main()
