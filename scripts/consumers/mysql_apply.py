#!/usr/bin/env python3
"""A consumer that applies rows to another MySQL or MariaDB server, each change exactly once.

    sink=exec   exec_resume=consumer
    exec_command=exec scripts/consumers/mysql_apply.py mysql --defaults-extra-file=target.cnf

What stands behind its name is the server's own command line client and how it logs in; the client does the talking. The
target has the same tables (dispatch_ddl=table keeps them so: DDL is run as it comes), in InnoDB, and no triggers. Where
the shard stands is a row of fountain.fountain_applied, changed in the transaction that changes the rows. A DDL statement
ends a transaction by itself: whether one was done when this program was killed is told by trying it again.

Inserts, updates and deletes must each find their one row; else the pack is rolled back and rejected, as are `rollback`,
`gap` and `statement` lines, which rows that have been applied cannot be brought in line with. A row is found by its key,
without one by all of its values. What JSON text cannot tell stays untold: a JSON document `null` is applied as SQL NULL
where the column can be NULL, and dates or decimals inside of documents become strings and doubles.
"""
import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import sys

SHARD = os.environ["FOUNTAIN_SHARD"]
OPTIONS = ["--batch", "--raw", "--skip-column-names", "--unbuffered", "--binary-mode", "--comments", "--skip-reconnect"]
OPTIONS += ["--default-character-set=utf8mb4", "--max-allowed-packet=1G"]
# Zero dates and AUTO_INCREMENT values of 0 are taken as they are, anything that does not fit is an error.
STRICT = "SET sql_mode='STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n"
LAX = "SET sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n"
# What a DDL statement says that was done already: exists, is gone, duplicate column or key, cannot drop.
DONE_ALREADY = {1007, 1008, 1050, 1051, 1060, 1061, 1068, 1091, 1146, 1304, 1305, 1826}
STATE = "fountain.fountain_applied"


class Refused(Exception):
    """A pack that cannot be applied as it is."""


class Number(str):
    """A number of JSON, with every digit that it was written with."""


def parse(line):
    return json.loads(line, parse_int=Number, parse_float=Number)


def dump(value):
    """JSON again, numbers as they were."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(json.dumps(key) + ": " + dump(item) for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value)


def name(text):
    return "`" + text.replace("`", "``") + "`"


def hexadecimal(data):
    return "X'" + data.hex() + "'"


def text(value):
    return "_utf8mb4 " + hexadecimal(value.encode())


class Client:
    """The server's client as a process that is fed with SQL; an error ends it, and the transaction with it."""

    def __init__(self, command):
        self.command = command + OPTIONS
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.marks = 0

    def run(self, sql):
        """What the SQL prints, as lines."""
        self.marks += 1
        mark = f"mark {self.marks}"
        self.process.stdin.write(f"{sql}\nSELECT '{mark}';\n".encode())
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline().decode()
            if not line:
                sys.exit(self.process.wait() or 1)  # It has said why.
            if line.rstrip("\n") == mark:
                return lines
            lines.append(line.rstrip("\n"))

    def run_ddl(self, database, sql, in_doubt):
        """One statement, in a client of its own that may fail."""
        known = self.run(f"SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {text(database)};")
        use = f"USE {name(database)}\n" if database and known == ["1"] else ""
        # So MySQL 8.0.21 and later log CREATE TABLE … SELECT, of which the rows follow: a table that was begun so would be
        # gone with the client.
        sql = sql.replace("\n) START TRANSACTION", "\n)", 1) if sql.startswith("CREATE TABLE") else sql
        session = "SET foreign_key_checks=0, time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES';\n"
        script = f"{session}{use}DELIMITER $$fountain$$\n{sql}\n$$fountain$$\n"
        done = subprocess.run(self.command, input=script.encode(), capture_output=True)
        if done.returncode == 0:
            return
        told = done.stderr.decode(errors="replace").strip()
        number = re.search(r"ERROR (\d+)", told)
        if not (in_doubt and number and int(number[1]) in DONE_ALREADY):
            raise Refused(f"{told}: {sql}")
        print(f"was done already: {sql}", file=sys.stderr)


class Column:
    """A column of the target and how values of it are written in SQL."""

    def __init__(self, fields):
        self.name, self.type, self.full_type, self.charset, nullable, extra = (bytes.fromhex(f).decode() for f in fields)
        self.type = self.type.lower()
        self.nullable = nullable == "YES"
        self.generated = re.search("VIRTUAL|STORED|PERSISTENT", extra.upper()) is not None

    def is_text(self):
        return self.type in ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set")

    def is_bytes(self):
        return self.is_geometry() or self.type in (
            "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")

    def is_geometry(self):
        return self.type in (
            "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
            "geomcollection", "geometrycollection")

    def is_refused_label(self, value):
        """An ENUM's index 0: what the source stored in place of a value that it refused."""
        return self.type == "enum" and value == "" and "''" not in self.full_type

    def literal(self, value):
        if value is None:
            return "_utf8mb4 'null'" if self.type == "json" and not self.nullable else "NULL"
        if isinstance(value, dict) and "$base64" in value and self.type != "json":
            return hexadecimal(base64.b64decode(value["$base64"], validate=True))
        if self.is_text() and not isinstance(value, Number):
            return text(value)
        if self.is_bytes():
            return hexadecimal(base64.b64decode(value, validate=True))
        if self.type == "json":
            if isinstance(value, dict) and "$json_diff" in value:
                raise Refused(f"{self.name}: a change of a JSON document whose base is not in the log")
            return text(dump(value))
        if self.type == "vector":
            return hexadecimal(struct.pack(f"<{len(value)}f", *map(float, value)))
        return self.plain(value)

    def plain(self, value):
        if not isinstance(value, str) or not re.fullmatch(r"[-+0-9A-Za-z:. ]*", value):
            raise Refused(f"{self.name}: {value!r} is no value of {self.full_type}")
        if self.type == "float":
            # The double that the FLOAT is: a comparison is made in doubles.
            value = repr(struct.unpack("<f", struct.pack("<f", float(value)))[0])
        if self.type in ("float", "double", "real"):
            return value if "e" in value else value + "e0"
        # Decimals and, with json_bigint=string, large integers come as strings.
        return value if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else f"'{value}'"

    def equals(self, value, by_key):
        """The condition that a row has this very value, byte for byte; in a key as the index has it."""
        column, literal = name(self.name), self.literal(value)
        if literal == "NULL":
            return f"{column} IS NULL"
        if self.is_text() and not by_key and not isinstance(value, Number):
            if isinstance(value, str) and self.charset:
                literal = f"CONVERT({literal} USING {self.charset})"
            return f"CAST({column} AS BINARY) = CAST({literal} AS BINARY)"
        if self.type in ("year", "bit") or isinstance(value, Number) and self.is_text():
            return f"{column} + 0 = {literal}"
        if self.is_geometry() or self.type == "vector":
            return f"HEX({column}) = HEX({literal})"
        if self.type == "json":
            return f"{column} = CAST({literal} AS JSON)"
        return f"{column} = {literal}"


class Target:
    def __init__(self, client):
        self.client = client
        self.tables = {}
        client.run(f"""{STRICT}
            SET SESSION time_zone='+00:00', foreign_key_checks=0;
            CREATE DATABASE IF NOT EXISTS fountain;
            CREATE TABLE IF NOT EXISTS {STATE} (shard VARBINARY(250) NOT NULL PRIMARY KEY, epoch BIGINT UNSIGNED NOT NULL,
                sequence BIGINT UNSIGNED NOT NULL, pack LONGBLOB NOT NULL COMMENT 'the line of the last whole pack',
                ahead BIGINT UNSIGNED NOT NULL COMMENT 'lines behind that pack that are applied as well',
                ddl_begun TINYINT NOT NULL COMMENT '1: the next line is DDL that may have been done') ENGINE=InnoDB;""")
        # One that was started earlier for this shard may be at work still. Names of locks are short.
        digest = hashlib.sha1(SHARD.encode()).hexdigest()
        if client.run(f"SELECT GET_LOCK('fountain {digest}', 50);") != ["1"]:
            sys.exit("another consumer works for this shard")
        client.run(f"INSERT IGNORE INTO {STATE} VALUES ({text(SHARD)}, 0, 0, '', 0, 0);")
        row = client.run(f"SELECT HEX(pack), ahead, ddl_begun FROM {STATE} WHERE shard = {text(SHARD)};")[0]
        pack, ahead, ddl_begun = row.split("\t")
        self.pack, self.ahead, self.ddl_begun = bytes.fromhex(pack).decode(), int(ahead), ddl_begun == "1"

    def columns(self, row):
        key = (row["database"], row["table"])
        if key not in self.tables:
            fields = ["COLUMN_NAME", "DATA_TYPE", "COLUMN_TYPE", "IFNULL(CHARACTER_SET_NAME,'')", "IS_NULLABLE", "EXTRA"]
            lines = self.client.run(
                f"SELECT CONCAT_WS(' ', {', '.join(f'CONCAT(0, HEX({field}))' for field in fields)})"
                f" FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {text(key[0])} AND TABLE_NAME = {text(key[1])};")
            columns = [Column([field[1:] for field in line.split(" ")]) for line in lines]
            self.tables[key] = {column.name: column for column in columns}
        if not self.tables[key]:
            raise Refused(f"there is no table {key[0]}.{key[1]}")
        return self.tables[key]

    def statement(self, row):
        """The SQL of a row line."""
        columns = self.columns(row)
        before, after = row.get("before", {}), row.get("after", {})
        missing = [column for column in [*before, *after] if column not in columns]
        if missing:
            raise Refused(f"{row['database']}.{row['table']} has no column {missing[0]}")
        table = f"{name(row['database'])}.{name(row['table'])}"
        new = {columns[column]: value for column, value in after.items() if not columns[column].generated}
        if row["op"] == "insert":
            names, values = ",".join(name(c.name) for c in new), ",".join(c.literal(v) for c, v in new.items())
            sql = f"INSERT INTO {table} ({names}) VALUES ({values})"
        else:
            key = row.get("key") or [column for column in before if not columns[column].generated]
            if not key or any(column not in before for column in key):
                raise Refused(f"the log has no values to find a row of {row['database']}.{row['table']} by")
            found = " AND ".join(columns[column].equals(before[column], bool(row.get("key"))) for column in key)
            sets = ",".join(f"{name(c.name)}={c.literal(v)}" for c, v in new.items())
            verb = f"UPDATE {table} SET {sets}" if row["op"] == "update" else f"DELETE FROM {table}"
            sql = f"{verb} WHERE {found} LIMIT 1"
        lax = any(column.is_refused_label(value) for column, value in new.items())
        return sql, lax

    def commit(self, statements, pack, ahead, ddl_begun):
        """Rows, and where the shard stands with them: both or none."""
        script = ["START TRANSACTION; SET @bad = NULL;\n"]
        for at, (sql, lax) in enumerate(statements):
            script.append(f"{LAX if lax else ''}{sql};\nSET @bad = IF(ROW_COUNT() = 1, @bad, IFNULL(@bad, {at}));\n")
            script.append(STRICT if lax else "")
        set_pack = ""
        if pack is not None:
            head = parse(pack)
            set_pack = f"epoch = {head['epoch']}, sequence = {head['sequence']}, pack = {hexadecimal(pack.encode())}, "
        script.append(f"UPDATE {STATE} SET {set_pack}ahead = {ahead}, ddl_begun = {int(ddl_begun)}"
                      f" WHERE shard = {text(SHARD)};\nSELECT IFNULL(@bad, 'fine');")
        bad = self.client.run("".join(script))
        if bad != ["fine"]:
            self.client.run("ROLLBACK;")
            raise Refused(f"no row, or more than one, was changed by: {statements[int(bad[0])][0]:.1000}")
        self.client.run("COMMIT;")
        self.pack, self.ahead, self.ddl_begun = self.pack if pack is None else pack, ahead, ddl_begun

    def apply(self, pack, lines):
        statements = []
        for at, line in enumerate(lines):
            if at < self.ahead:
                continue
            row = parse(line)
            if row["op"] in ("insert", "update", "delete"):
                statements.append(self.statement(row))
            elif row["op"] == "ddl":
                in_doubt = self.ddl_begun
                self.commit(statements, None, at, True)
                statements = []
                try:
                    self.client.run_ddl(row["database"], row["sql"], in_doubt)
                except Refused:
                    self.commit([], None, at, in_doubt)
                    raise
                self.commit([], None, at + 1, False)
                self.tables.clear()
            elif row["op"] in ("rollback", "gap", "statement"):
                raise Refused(f"a line that cannot be applied: {line.strip():.1000}")
        # What was ahead may reach into later packs: after a restart the borders between packs are others.
        self.commit(statements, pack, max(self.ahead - len(lines), 0), False)


def main():
    target = None
    stdin = sys.stdin.buffer
    for line in stdin:
        line = line.decode().rstrip("\n")
        head = parse(line)
        if head["op"] == "resume":
            target = Target(Client(sys.argv[1:]))
            print("resume", target.pack or "none", flush=True)
        elif head["op"] == "pack":
            if target is None:
                sys.exit("set exec_resume=consumer: by itself fountain cannot know what is applied")
            lines = [stdin.readline() for _ in range(int(head["rows"]))]
            if sum(map(len, lines)) != int(head["bytes"]):
                sys.exit("the input ended inside of a pack")
            try:
                target.apply(line, [line.decode() for line in lines])
                print("ack", head["epoch"], head["sequence"], flush=True)
            except Refused as why:
                print("reject", head["epoch"], head["sequence"], " ".join(str(why).split()), flush=True)


main()
