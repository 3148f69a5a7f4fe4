#!/usr/bin/env bash
# Everything about the source that can be told without running it. Run it before a push; scripts/test.sh runs the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh check

cargo fmt --check
scripts/check-layers.sh
cargo clippy --quiet --all-targets -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --document-private-items
if command -v shellcheck >/dev/null; then
    shellcheck scripts/*.sh .ci/run
fi
printf 'check.sh: fine\n'
