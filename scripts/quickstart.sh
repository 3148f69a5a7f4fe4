#!/usr/bin/env bash
# Shows fountain at work in one go: builds it, starts a private MariaDB with a table that changes all the time, and
# prints every change as it happens. Touches nothing outside the build folder, the servers' cache and a temporary
# folder, and leaves nothing running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: quickstart.sh [SECONDS]

Streams until Ctrl-C; when the output is not a terminal, for 10 seconds. SECONDS sets another time.

FOUNTAIN_PROGRAM     use this program instead of building one
FOUNTAIN_TEST_CACHE  where the server is kept for the next time (see servers.sh)
USAGE
}

say() { printf '\n# %s\n' "$*" >&2; }

seconds=${1:-}
case $seconds in
    -h | --help)
        usage
        exit
        ;;
    *[!0-9]*)
        usage >&2
        exit 2
        ;;
esac
if [[ -z $seconds && ! -t 1 ]]; then
    seconds=10
fi

folder='' stream='' workload='' interrupted=''

# Ends what runs, in the order in which they depend on each other; also after a failure.
tidy_up() {
    local pid
    trap '' INT TERM HUP
    for pid in $stream $workload; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [[ -n $folder ]]; then
        [[ ! -d $folder/server ]] || scripts/servers.sh stop "$folder/server" || true
        rm -rf "$folder"
    fi
}
trap tidy_up EXIT
trap 'interrupted=yes' INT TERM HUP

stop_if_interrupted() { [[ -z $interrupted ]] || exit 130; }

program=${FOUNTAIN_PROGRAM:-}
if [[ -z $program ]]; then
    say 'Building (the first time takes some minutes)'
    scripts/setup.sh build
    cargo build --release --quiet
    program=${CARGO_TARGET_DIR:-target}/release/fountain
fi
stop_if_interrupted

say 'Starting a private MariaDB on loopback'
scripts/servers.sh get mariadb
stop_if_interrupted
folder=$(mktemp -d "${TMPDIR:-/tmp}/fountain-quickstart-XXXXXX")
for try in 1 2 3; do
    # Below the ports that the kernel hands out by itself. A port that is taken shows when the server starts.
    port=$((20000 + RANDOM % 12000))
    ! scripts/servers.sh start mariadb "$folder/server" "$port" >/dev/null 2>"$folder/start.log" || break
    if [[ $try -eq 3 ]]; then
        cat "$folder/start.log" >&2
        exit 1
    fi
done
stop_if_interrupted

say 'A table, and someone who changes it'
scripts/servers.sh client mariadb "$port" <<'SQL'
CREATE DATABASE shop;
CREATE TABLE shop.orders (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer VARCHAR(40) NOT NULL,
    total DECIMAL(9,2) NOT NULL,
    state ENUM('new', 'paid', 'shipped') NOT NULL DEFAULT 'new',
    note TEXT NULL,
    placed DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) ENGINE=InnoDB CHARACTER SET utf8mb4;
SQL

# A few statements a second, for as long as somebody listens.
statements() {
    local names=(Ada Béla 智子 Dmitri Grace Zoë) order=0
    while true; do
        order=$((order + 1))
        printf "INSERT INTO shop.orders (customer, total) VALUES ('%s', %d.%02d);\n" \
            "${names[RANDOM % ${#names[@]}]}" $((RANDOM % 900 + 5)) $((RANDOM % 100))
        sleep 0.4
        printf "UPDATE shop.orders SET state = 'paid', note = 'on time' WHERE id = %d;\n" "$order"
        sleep 0.3
        if ((order > 3)); then
            printf "BEGIN; UPDATE shop.orders SET state = 'shipped' WHERE id = %d;\n" $((order - 2))
            printf "DELETE FROM shop.orders WHERE id = %d; COMMIT;\n" $((order - 3))
            sleep 0.3
        fi
    done
}
# In a session of its own: a Ctrl-C is not for the client.
statements > >(exec setsid scripts/servers.sh client mariadb "$port") 2>/dev/null &
workload=$!

mkdir -p "$folder/home"
(umask 077 && printf 'replpw' >"$folder/password")
settings=(
    -D mysql_shard_0_server=127.0.0.1
    -D mysql_shard_0_port="$port"
    -D mysql_username=repl
    -D mysql_password_file="$folder/password"
    -D sink=stdout
    -D producer_position="$folder/home/points"
)
how_long=${seconds:+for $seconds seconds}
say "Streaming ${how_long:-until Ctrl-C}: every line is one change of one row"
FOUNTAIN_HOME=$folder/home "$program" run "${settings[@]}" &
stream=$!

failed=''
SECONDS=0
while [[ -z $interrupted ]] && { [[ -z $seconds ]] || ((SECONDS < seconds)); }; do
    if ! kill -0 "$stream" 2>/dev/null; then
        failed=yes
        break
    fi
    sleep 0.2 || true
done
kill -TERM "$stream" 2>/dev/null || true
status=0
# A signal that arrives meanwhile ends `wait`, not what it waits for.
while wait "$stream" || status=$?; kill -0 "$stream" 2>/dev/null; do status=0; done
stream=''
if [[ -n $failed ]]; then
    say "fountain ended by itself, with exit code $status"
    exit 1
elif [[ $status -ne 0 ]]; then
    say "fountain did not end in good order: exit code $status"
    exit 1
fi

cat >&2 <<'NEXT'

# That was all of it. For a server of your own, three keys (and mysql_shard_0_port when it is not 3306):

    printf '%s' 'the password' >password && chmod 600 password
    target/release/fountain run -D mysql_shard_0_server=db.example.com -D mysql_username=repl -D mysql_password_file=password

# The account needs this on the server:

    CREATE USER 'repl'@'%' IDENTIFIED BY 'the password';
    GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'repl'@'%';

# The server must log rows (log_bin, binlog_format=ROW); fountain says what is missing, if anything.
NEXT
