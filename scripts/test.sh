#!/usr/bin/env bash
# Runs the tests against real servers: gets those (once, see servers.sh), builds, and hands over to `cargo test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: test.sh [--long] [CARGO TEST ARGUMENT…]

--long   also the tests that take minutes (those marked #[ignore]): about two hours more on two cores

CI=true                  a server that cannot be had is a failure; elsewhere its tests are skipped and counted
FOUNTAIN_TEST_MYSQL56, FOUNTAIN_TEST_MYSQL97, FOUNTAIN_TEST_MARIADB, FOUNTAIN_TEST_MARIADB118
                         user:password@host:port of a server that runs already, for tests that do not need their own
FOUNTAIN_TEST_SERVERS    how many servers tests may run at a time (default: 3)
FOUNTAIN_TEST_CHAOS      SEED:ROUNDS for the long test of ha_chaos alone: that script instead of its own
FOUNTAIN_TEST_FIDELITY   SEED[:ROUNDS] for the tests of fidelity: those random workloads instead of their own
FOUNTAIN_TEST_CACHE      where the servers are kept (see servers.sh)
USAGE
}

long=()
case ${1:-} in
    -h | --help)
        usage
        exit
        ;;
    --long)
        long=(--include-ignored)
        shift
        ;;
esac

scripts/setup.sh test
for kind in mysql56 mysql97 mariadb mariadb118 zookeeper; do
    variable=FOUNTAIN_TEST_${kind^^}
    if [[ -z ${!variable:-} ]] && ! scripts/servers.sh get "$kind"; then
        if [[ -n ${CI:-} && ${CI:-} != false && ${CI:-} != 0 ]]; then
            printf 'test.sh: %s is needed under CI\n' "$kind" >&2
            exit 1
        fi
        printf 'test.sh: tests that need %s will be skipped\n' "$kind" >&2
    fi
done
rm -f "${CARGO_TARGET_DIR:-target}/tmp/skipped-tests"

# The caller's arguments for the test programs come after a "--"; ours join them.
cargo_arguments=()
while (($# > 0)) && [[ $1 != -- ]]; do
    cargo_arguments+=("$1")
    shift
done
(($# == 0)) || shift
exec cargo test "${cargo_arguments[@]}" -- "${long[@]}" "$@"
