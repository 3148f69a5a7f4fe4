#!/usr/bin/env python3
"""Runs programs over the same binlog in turns and prints what each takes. scripts/bench.sh prepares and calls it.

usage: measure.py PLAN.json

The plan: {"workload": name, "rounds": n, "bytes": size of the binlog, "expected": {"insert": n, "update": n,
"delete": n}, "programs": [{"name": …, "command": […], "environment": {…}, "fresh": [folders to empty before each
run], "counted": command whose output has the same rows, or absent, "prefixes": {"insert": how its lines begin, …}}]}
The first program is the one that the others are compared with.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

TIMEOUT_S = 900


def prepare(program):
    for folder in program.get("fresh", []):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    return {**os.environ, **program.get("environment", {})}


def fail(program, what, stderr_path):
    with open(stderr_path, encoding="utf-8", errors="replace") as file:
        said = file.read()[-2000:].strip()
    sys.exit(f"measure.py: {program['name']}: {what}\n{said}")


def check_counts(program, expected, stderr_path):
    """One run, not measured, whose output is counted: a program that loses rows is not fast but wrong."""
    if "counted" not in program:
        return
    prefixes = [(kind, prefix.encode()) for kind, prefix in program["prefixes"].items()]
    counts = dict.fromkeys(program["prefixes"], 0)
    environment = prepare(program)
    with open(stderr_path, "wb") as stderr:
        process = subprocess.Popen(program["counted"], env=environment, stdout=subprocess.PIPE, stderr=stderr)
        for line in process.stdout:
            for kind, prefix in prefixes:
                if line.startswith(prefix):
                    counts[kind] += 1
                    break
        code = process.wait()
    if code != 0:
        fail(program, f"exit code {code}", stderr_path)
    if counts != expected:
        fail(program, f"wrong number of rows: expected {expected}, got {counts}", stderr_path)


class PeakMemory(threading.Thread):
    """The peak memory of a process in MB, looked up while it lives. (The usage that wait4 gives is never less than the
    memory of this interpreter, which the process was before it became the program.)"""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.peak, self.done = f"/proc/{pid}/status", 0.0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.01):
            try:
                with open(self.path, encoding="ascii", errors="replace") as file:
                    for line in file:
                        if line.startswith("VmHWM:"):
                            self.peak = int(line.split()[1]) / 1024
            except (OSError, ValueError):
                return

    def stop(self):
        self.done.set()
        self.join()
        return self.peak


def run(program, stderr_path):
    """Wall seconds, CPU seconds and peak memory (MB) of one run."""
    environment = prepare(program)
    with open(os.devnull, "wb") as nothing, open(stderr_path, "wb") as stderr:
        start = time.monotonic()
        process = subprocess.Popen(program["command"], env=environment, stdout=nothing, stderr=stderr)
        # wait4 is what gives the usage of this one child; it has no timeout of its own.
        killer = threading.Timer(TIMEOUT_S, process.kill)
        killer.start()
        memory = PeakMemory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        killer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if wall >= TIMEOUT_S:
        fail(program, f"not done within {TIMEOUT_S} s", stderr_path)
    if process.returncode != 0:
        fail(program, f"exit code {process.returncode}", stderr_path)
    return wall, usage.ru_utime + usage.ru_stime, memory.stop()


def table(plan, results):
    rows, size = sum(plan["expected"].values()), plan["bytes"]
    load = os.getloadavg()[0]
    print(
        f"\n{plan['workload']}: {rows:,} row changes in {size / 1e6:.1f} MB of binlog, "
        f"medians of {plan['rounds']} interleaved rounds, load {load:.1f} on {os.cpu_count()} cores"
    )
    print(
        f"{'':38}{'wall s':>9}{'Mrow/s':>9}{'MB/s':>9}{'CPU s':>9}{'CPU s/Mrow':>12}{'peak MB':>9}"
        f"{'wall x':>9}{'CPU x':>9}"
    )
    base = None
    for program in plan["programs"]:
        wall, cpu, peak = (statistics.median(column) for column in zip(*results[program["name"]]))
        base = base or (wall, cpu)
        print(
            f"{program['name']:38}{wall:9.3f}{rows / wall / 1e6:9.2f}{size / wall / 1e6:9.1f}{cpu:9.3f}"
            f"{cpu / rows * 1e6:12.3f}{peak:9.1f}{wall / base[0]:9.2f}{cpu / base[1]:9.2f}"
        )
    sys.stdout.flush()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    stderr_path = sys.argv[1] + ".stderr"
    for program in plan["programs"]:
        check_counts(program, plan["expected"], stderr_path)
    results = {program["name"]: [] for program in plan["programs"]}
    for _ in range(plan["rounds"]):
        for program in plan["programs"]:
            results[program["name"]].append(run(program, stderr_path))
    table(plan, results)


if __name__ == "__main__":
    main()
