#!/usr/bin/env bash
# Looks for the tools that a job takes. As root on Debian and its kin it installs what is missing; otherwise it says
# what to install.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: setup.sh build|check|test|bench

Says nothing and exits with 0 when the tools of that job are there.

build   a C compiler (cargo fetches the rest)
check   what check.sh runs
test    what test.sh and the servers need
bench   what bench.sh and bench-ha.sh need
USAGE
}

# tool, Debian packages
packages_of() {
    case $1 in
        cc) printf 'gcc libc6-dev' ;;
        flock | setsid) printf 'util-linux' ;;
        awk) printf 'mawk' ;;
        *) printf '%s' "$1" ;;
    esac
}

case ${1:-} in
    build) tools='cc' components='' ;;
    check) tools='cc awk shellcheck' components='fmt:rustfmt clippy:clippy' ;;
    test) tools='cc npm flock setsid awk tar' components='' ;;
    bench) tools='cc flock setsid awk tar python3' components='' ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac

missing=()
packages=()
for tool in $tools; do
    if ! command -v "$tool" >/dev/null; then
        missing+=("$tool")
        # shellcheck disable=SC2207 # a list of names
        packages+=($(packages_of "$tool"))
    fi
done
if ((${#missing[@]} > 0)); then
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        printf 'setup.sh: missing: %s\nOn Debian:  sudo apt-get install %s\n' "${missing[*]}" "${packages[*]}" >&2
        exit 1
    fi
    printf 'setup.sh: installing %s\n' "${packages[*]}" >&2
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${packages[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null; then
    printf 'setup.sh: cargo is missing: install Rust, see https://rustup.rs\n' >&2
    exit 1
fi
# A minimal Rust comes without them.
for component in $components; do
    if ! cargo "${component%:*}" --version >/dev/null 2>&1; then
        if ! command -v rustup >/dev/null; then
            printf 'setup.sh: cargo %s is missing, and so is rustup that could add it\n' "${component%:*}" >&2
            exit 1
        fi
        rustup --quiet component add "${component#*:}"
    fi
done
