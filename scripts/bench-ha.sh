#!/usr/bin/env bash
# Measures high availability against a private ZooKeeper and a private MySQL 9.7: how soon a standby delivers after the
# leader was killed or has ended in good order, and how many writes a second many shards cost ZooKeeper.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: bench-ha.sh [--rounds N] [--session MS] [--shards N] [--seconds N]

--rounds N    how often the leader is ended either way (default: 7)
--session MS  zk_session_timeout, 1000 to 10000 (default: 4000)
--shards N    how many shards write to ZooKeeper (default: 100)
--seconds N   for so long their writes are counted (default: 60)

FOUNTAIN_PROGRAM     measure this program instead of building one
FOUNTAIN_TEST_CACHE  where the servers are kept (see servers.sh)
USAGE
}

rounds=7 session=4000 shards=100 seconds=60
while (($# > 0)); do
    case $1 in
        --rounds | --session | --shards | --seconds)
            [[ $# -gt 1 && $2 =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; }
            declare "${1#--}=$2"
            shift
            ;;
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

scripts/setup.sh bench
program=${FOUNTAIN_PROGRAM:-}
if [[ -z $program ]]; then
    cargo build --release --quiet
    program=${CARGO_TARGET_DIR:-target}/release/fountain
fi
scripts/servers.sh get mysql97
scripts/servers.sh get zookeeper

folder='' zookeeper_pid=''
tidy_up() {
    trap '' INT TERM HUP
    [[ -z $zookeeper_pid ]] || kill "$zookeeper_pid" 2>/dev/null || true
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

for try in 1 2 3; do
    port=$((20000 + RANDOM % 12000))
    ! scripts/servers.sh start mysql97 "$folder/server" "$port" --gtid --max-connections=1000 \
        >/dev/null 2>"$folder/start.log" || break
    if [[ $try -eq 3 ]]; then
        cat "$folder/start.log" >&2
        exit 1
    fi
done
# One login over TLS: then the server remembers the password, and fountain may log in without TLS.
MYSQL_PWD=replpw scripts/servers.sh client mysql97 "$port" --user=repl --ssl-mode=REQUIRED --execute='DO 0'

zookeeper_port=$((20000 + RANDOM % 12000))
mkdir "$folder/zookeeper"
scripts/servers.sh init zookeeper "$folder/zookeeper"
scripts/servers.sh run zookeeper "$folder/zookeeper" "$zookeeper_port" >"$folder/zookeeper.log" 2>&1 &
zookeeper_pid=$!
serves() {
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$zookeeper_port" || return 1
    printf srvr >&3
    answer=$(cat <&3)
    exec 3<&- 3>&-
    [[ $answer == *Mode:* ]]
}
for ((try = 1; ; try++)); do
    ! (serves) 2>/dev/null || break
    if ((try > 300)); then
        cat "$folder/zookeeper.log" >&2
        exit 1
    fi
    sleep 0.1
done

printf '{"program": "%s", "folder": "%s/homes", "zookeeper": %s, "mysql": %s, "client": ["scripts/servers.sh", "client", ' \
    "$(realpath "$program")" "$folder" "$zookeeper_port" "$port" >"$folder/plan.json"
printf '"mysql97", "%s"], "user": "repl", "password_file": "%s/password", "session_ms": %s, "rounds": %s, ' \
    "$port" "$folder" "$session" "$rounds" >>"$folder/plan.json"
printf '"shards": %s, "seconds": %s}\n' "$shards" "$seconds" >>"$folder/plan.json"
python3 benches/high_availability.py "$folder/plan.json"
