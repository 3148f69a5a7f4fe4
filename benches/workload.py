#!/usr/bin/env python3
"""Writes a deterministic workload as SQL: the same rows on every server and at every run.

usage: workload.py narrow|wide|oltp [SCALE] >SQL 2>COUNTS

narrow   2.4 million row changes of five short columns in statements of 1000 rows (120 MB of binlog)
wide     200 000 inserts of thirty columns of most types (118 MB)
oltp     100 000 transactions of one row each (56 MB)

The last line on stderr is JSON: how many rows are inserted, updated and deleted.
"""

import datetime
import json
import random
import sys

ROWS_PER_STATEMENT = 1000
WORDS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi "
    "chi psi omega"
).split()
PHRASES = ["Grüße", "naïve", "日本語", "Привет", "emoji😀", "plain"]
STATES = ["new", "paid", "shipped", "done", "cancelled"]
SETS = ["", "a", "b", "a,c", "b,d,e", "a,b,c,d,e"]

random_source = random.Random(20240607)
randint, choice = random_source.randint, random_source.choice
counts = {"insert": 0, "update": 0, "delete": 0}


def write(sql):
    sys.stdout.write(sql)


def text(shortest, longest):
    length = randint(shortest, longest)
    return f"{choice(WORDS)}-{random_source.getrandbits(80):x}"[:length]


def words(count):
    return " ".join(choice(WORDS) for _ in range(count))


def moment():
    return datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=randint(0, 5 * 365 * 86400))


def decimal(low, high, scale):
    return f"{randint(low, high)}.{randint(0, 10**scale - 1):0{scale}d}"


def or_null(value):
    return "NULL" if random_source.random() < 0.5 else value


def insert_in_blocks(table, rows, row):
    """Multi-row inserts of `rows` rows, rounded up to whole statements; ids count from 1."""
    statements = -(-rows // ROWS_PER_STATEMENT)
    for block in range(statements):
        first = block * ROWS_PER_STATEMENT + 1
        write(f"INSERT INTO {table} VALUES")
        write(",".join(row(number) for number in range(first, first + ROWS_PER_STATEMENT)))
        write(";\n")
    counts["insert"] += statements * ROWS_PER_STATEMENT
    return statements


def narrow(scale):
    write(
        "CREATE TABLE narrow (id BIGINT NOT NULL PRIMARY KEY, n INT NOT NULL, s VARCHAR(32) NOT NULL, "
        "d DECIMAL(12,2) NOT NULL, t DATETIME NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n"
    )

    def row(number):
        return f"({number},{randint(-(10**9), 10**9)},'{text(8, 32)}',{decimal(-(10**6), 10**8, 2)},'{moment()}')"

    blocks = insert_in_blocks("narrow", int(2_000_000 * scale), row)
    updated, deleted = blocks * 3 // 20, blocks // 20
    for block in range(updated + deleted):
        first = block * ROWS_PER_STATEMENT + 1
        where = f"WHERE id BETWEEN {first} AND {first + ROWS_PER_STATEMENT - 1};\n"
        if block < updated:
            write(f"UPDATE narrow SET n = n + 1, s = REVERSE(s), d = d + 0.01, t = t + INTERVAL 1 SECOND {where}")
        else:
            write(f"DELETE FROM narrow {where}")
    counts["update"] += updated * ROWS_PER_STATEMENT
    counts["delete"] += deleted * ROWS_PER_STATEMENT


def wide(scale):
    write(
        """SET time_zone = '+00:00';
CREATE TABLE wide (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, c1 TINYINT, c2 SMALLINT UNSIGNED, c3 MEDIUMINT, c4 INT UNSIGNED, c5 BIGINT,
  c6 FLOAT, c7 DOUBLE, c8 DECIMAL(20,6), c9 DECIMAL(10,0), c10 CHAR(16), c11 VARCHAR(64), c12 VARCHAR(400),
  c13 TEXT, c14 BLOB, c15 BINARY(16), c16 VARBINARY(64), c17 DATE, c18 TIME, c19 DATETIME, c20 DATETIME(3),
  c21 TIMESTAMP NULL, c22 TIMESTAMP(6) NULL, c23 YEAR, c24 ENUM('new','paid','shipped','done','cancelled'),
  c25 SET('a','b','c','d','e'), c26 BIT(12), c27 JSON, c28 VARCHAR(64) NULL, c29 INT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
"""
    )

    def document(number):
        return json.dumps(
            {
                "id": number,
                "name": text(6, 20),
                "tags": [choice(WORDS) for _ in range(3)],
                "ok": random_source.random() < 0.5,
                "score": round(random_source.random() * 100, 3),
                "nested": {"a": randint(0, 10**6), "b": None},
            }
        )

    def row(number):
        when = moment()
        values = [
            number, randint(-128, 127), randint(0, 65535), randint(-8388608, 8388607), randint(0, 2**32 - 1),
            randint(-(2**62), 2**62), round(random_source.uniform(-1e4, 1e4), 3), random_source.uniform(-1e9, 1e9),
            decimal(-(10**12), 10**12, 6), randint(0, 10**9), f"'{text(4, 16)}'", f"'{choice(PHRASES)} {text(4, 32)}'",
            f"'{words(12)}'", f"'{words(30)}'", f"x'{random_source.getrandbits(256):064x}'",
            f"x'{random_source.getrandbits(128):032x}'", f"x'{random_source.getrandbits(160):040x}'",
            f"'{when.date()}'", f"'{choice(['', '-'])}{randint(0, 200)}:{randint(0, 59):02d}:{randint(0, 59):02d}'",
            f"'{when}'", f"'{when}.{randint(0, 999):03d}'", f"'{when}'", f"'{when}.{randint(0, 999999):06d}'",
            randint(1990, 2050), f"'{choice(STATES)}'", f"'{choice(SETS)}'", randint(0, 4095),
            f"'{document(number)}'", or_null(f"'{text(5, 30)}'"), or_null(randint(0, 10**6)),
        ]  # fmt: skip
        return "(" + ",".join(str(value) for value in values) + ")"

    insert_in_blocks("wide", int(200_000 * scale), row)


def oltp(scale):
    write(
        "CREATE TABLE oltp (id INT NOT NULL PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', "
        "pad CHAR(60) NOT NULL DEFAULT '', KEY k1 (k)) ENGINE=InnoDB DEFAULT CHARSET=latin1;\n"
    )

    def groups(count):
        return "-".join(f"{random_source.randrange(10**11):011d}" for _ in range(count))

    alive, last = [], 0
    for _ in range(int(100_000 * scale)):
        dice = random_source.random()
        if dice < 0.4 or len(alive) < 100:
            last += 1
            alive.append(last)
            counts["insert"] += 1
            write(f"INSERT INTO oltp VALUES ({last},{randint(0, 999999)},'{groups(10)}','{groups(5)}');\n")
        elif dice < 0.85:
            change = "k = k + 1" if dice < 0.6 else f"c = '{groups(10)}'"
            counts["update"] += 1
            write(f"UPDATE oltp SET {change} WHERE id = {choice(alive)};\n")
        else:
            victim = randint(0, len(alive) - 1)
            alive[victim], alive[-1] = alive[-1], alive[victim]
            counts["delete"] += 1
            write(f"DELETE FROM oltp WHERE id = {alive.pop()};\n")


WORKLOADS = {"narrow": narrow, "wide": wide, "oltp": oltp}


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in WORKLOADS:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    write("CREATE DATABASE IF NOT EXISTS bench CHARACTER SET utf8mb4;\nUSE bench;\n")
    WORKLOADS[sys.argv[1]](float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
    print(json.dumps(counts), file=sys.stderr)


if __name__ == "__main__":
    main()
