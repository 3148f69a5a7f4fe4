#!/usr/bin/env bash
# Measures fountain against MySQL's own mysqlbinlog over the same binlog of a private MySQL 9.7, in turns, after making
# sure that each sees every row. Columns "wall x" and "CPU x" say how many times fountain's figure the others need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: bench.sh [--rounds N] [--scale X] [--full-metadata] [--yardsticks] [narrow|wide|oltp]…

--rounds N       how often each program runs (default: 5)
--scale X        the size of the workloads (default: 1, see benches/workload.py)
--full-metadata  with binlog_row_metadata=FULL; MINIMAL, the server's default, makes fountain read the log once in advance
                 for DDL
--yardsticks     only mysqlbinlog, without fountain
Without names: narrow.

FOUNTAIN_PROGRAM     measure this program instead of building one
FOUNTAIN_TEST_CACHE  where the server is kept (see servers.sh)
USAGE
}

rounds=5 scale=1 metadata=MINIMAL yardsticks='' workloads=()
while (($# > 0)); do
    case $1 in
        --rounds | --scale)
            [[ $# -gt 1 ]] || { usage >&2 && exit 2; }
            [[ $1 == --rounds ]] && rounds=$2 || scale=$2
            shift
            ;;
        --full-metadata) metadata=FULL ;;
        --yardsticks) yardsticks=yes ;;
        narrow | wide | oltp) workloads+=("$1") ;;
        -h | --help)
            usage
            exit
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]*$ && $scale =~ ^[0-9]*\.?[0-9]+$ ]] || { usage >&2 && exit 2; }
((${#workloads[@]} > 0)) || workloads=(narrow)

scripts/setup.sh bench
program=${FOUNTAIN_PROGRAM:-}
if [[ -z $program && -z $yardsticks ]]; then
    cargo build --release --quiet
    program=${CARGO_TARGET_DIR:-target}/release/fountain
fi
scripts/servers.sh get mysql97
bin=$(scripts/servers.sh path)

folder=''
tidy_up() {
    trap '' INT TERM HUP
    if [[ -n $folder ]]; then
        [[ ! -d $folder/server ]] || scripts/servers.sh stop "$folder/server" || true
        rm -rf "$folder"
    fi
}
trap tidy_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
folder=$(mktemp -d "${TMPDIR:-/tmp}/fountain-bench-XXXXXX")
(umask 077 && printf 'replpw' >"$folder/password")

# A file of one gigabyte at most: the workload is in one file.
for try in 1 2 3; do
    port=$((20000 + RANDOM % 12000))
    ! scripts/servers.sh start mysql97 "$folder/server" "$port" --max-binlog-size=1G --innodb-buffer-pool-size=512M \
        --innodb-redo-log-capacity=256M "--binlog-row-metadata=$metadata" >/dev/null 2>"$folder/start.log" || break
    if [[ $try -eq 3 ]]; then
        cat "$folder/start.log" >&2
        exit 1
    fi
done
client() { scripts/servers.sh client mysql97 "$port" "$@"; }
# One login over TLS: then the server remembers the password, and every program may log in without TLS.
MYSQL_PWD=replpw client --user=repl --ssl-mode=REQUIRED --execute='DO 0'

json_list() { # WORD…
    local word joined=''
    for word in "$@"; do
        word=${word//\\/\\\\}
        joined+=${joined:+, }\"${word//\"/\\\"}\"
    done
    printf '[%s]' "$joined"
}

# No TLS anywhere: what is compared is reading, not OpenSSL and rustls.
fountain_command() { # SINK
    json_list "$program" run --until end -D "sink=$1" -D mysql_shard_0_server=127.0.0.1 -D "mysql_shard_0_port=$port" \
        -D mysql_username=repl -D "mysql_password_file=$folder/password" -D mysql_ssl_mode=disabled \
        -D start_without_point=beginning
}

mysqlbinlog_command() { # OPTION…
    json_list "$bin/mysqlbinlog-9.7" --read-from-remote-server --host=127.0.0.1 "--port=$port" --user=root \
        --ssl-mode=DISABLED "$@" binlog.000001
}

plan() { # WORKLOAD COUNTS BYTES
    local text_options=(-vv --base64-output=DECODE-ROWS)
    printf '{"workload": "%s", "rounds": %s, "bytes": %s, "expected": %s, "programs": [' "$1" "$rounds" "$3" "$2"
    if [[ -z $yardsticks ]]; then
        printf '{"name": "fountain, JSON, null sink", "command": %s, "counted": %s, ' \
            "$(fountain_command null)" "$(fountain_command stdout)"
        printf '"environment": {"FOUNTAIN_HOME": "%s/home"}, "fresh": ["%s/home"], ' "$folder" "$folder"
        printf '"prefixes": {"insert": "{\\"op\\":\\"insert\\"", "update": "{\\"op\\":\\"update\\"", '
        printf '"delete": "{\\"op\\":\\"delete\\""}}, '
    fi
    printf '{"name": "mysqlbinlog -vv, text, /dev/null", "command": %s, "counted": %s, ' \
        "$(mysqlbinlog_command "${text_options[@]}")" "$(mysqlbinlog_command "${text_options[@]}")"
    printf '"prefixes": {"insert": "### INSERT INTO", "update": "### UPDATE", "delete": "### DELETE FROM"}}, '
    printf '{"name": "mysqlbinlog --raw, copy to a file", "command": %s, "fresh": ["%s/raw"]}]}\n' \
        "$(mysqlbinlog_command --raw "--result-file=$folder/raw/")" "$folder"
}

for workload in "${workloads[@]}"; do
    printf 'bench.sh: making %s (scale %s) …\n' "$workload" "$scale" >&2
    client --execute='DROP DATABASE IF EXISTS bench; RESET BINARY LOGS AND GTIDS'
    python3 benches/workload.py "$workload" "$scale" 2>"$folder/counts" | client
    bytes=$(stat -c %s "$folder/server/binlog.000001")
    plan "$workload" "$(tail -n 1 "$folder/counts")" "$bytes" >"$folder/plan.json"
    python3 benches/measure.py "$folder/plan.json"
done
