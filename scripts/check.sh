#!/usr/bin/env bash
# Everything about the source that can be told without running it. Run it before a push; scripts/test.sh runs the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: check.sh

Format, layers (check-layers.sh), clippy, documentation, shell scripts: exit 0 when nothing is to be said about any of
them. Installs what it needs where it may (setup.sh).
USAGE
}

case ${1:-} in
    '') ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac

scripts/setup.sh check
cargo fmt --check
scripts/check-layers.sh
cargo clippy --quiet --all-targets -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --document-private-items
shellcheck scripts/*.sh .ci/run
printf 'check.sh: fine\n'
