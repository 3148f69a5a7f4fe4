#!/usr/bin/env bash
# Looks for the tools that building and testing take. As root on Debian and its kin it installs what is missing;
# otherwise it says what to install.
set -euo pipefail

# program, Debian packages
readonly tools='
cc      gcc libc6-dev
npm     npm
flock   util-linux
setsid  util-linux
awk     mawk
tar     tar
'

missing=()
packages=()
while read -r program names; do
    if [[ -n $program ]] && ! command -v "$program" >/dev/null; then
        missing+=("$program")
        # shellcheck disable=SC2206 # a list of names
        packages+=($names)
    fi
done <<<"$tools"

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
# A minimal Rust comes without the two that check.sh runs.
for component in fmt:rustfmt clippy:clippy; do
    if ! cargo "${component%:*}" --version >/dev/null 2>&1; then
        if ! command -v rustup >/dev/null; then
            printf 'setup.sh: cargo %s is missing, and so is rustup that could add it\n' "${component%:*}" >&2
            exit 1
        fi
        rustup --quiet component add "${component#*:}"
    fi
done
