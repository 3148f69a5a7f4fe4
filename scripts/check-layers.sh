#!/usr/bin/env bash
# Checks what the compiler does not: which module may know which other, that the pure ones reach for no socket, file,
# thread or clock, and that no file outgrows its reader. Test code is exempt; it comes last in a file (clippy sees to
# that). tests/layers.rs plants what this must find.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: check-layers.sh [SOURCE FOLDER]    (default: src)

Prints a line for each breach: a module that uses one it may not know, a pure one that reaches for sockets, files,
threads or the clock, lints that are missing, a file that is too long. Exit 0: none, 1: some. The rules stand at the
head of this script.
USAGE
}

case ${1:-} in
    -h | --help)
        usage
        exit
        ;;
    -*)
        usage >&2
        exit 2
        ;;
esac
source_folder=${1:-$(dirname "${BASH_SOURCE[0]}")/../src}
cd "$source_folder"

# Module, and what it may use. "-" is nothing, "*" everything; "a::b" allows only paths that begin so.
readonly may_use='
code        -
codec       -
fail_point  -
stop        -
secret      -
config      code secret schema::filter
wire        code codec
column      code codec
binlog      code codec column
schema      code codec binlog column
change      code codec binlog column schema
sync_point  code codec fail_point coordination config::ZooKeeperConfig binlog::gtid_set binlog::position binlog::GtidSet binlog::Gtid binlog::BinlogPosition binlog::ExecutedGtids binlog::MariadbGtid binlog::MariadbGtidPosition
pack        code codec binlog column schema change sync_point
sink        code stop config fail_point pack sync_point
status      code stop config sync_point
coordination code stop secret config
guard       code codec stop config status coordination sync_point::trace
mysql       code codec stop secret config wire binlog schema sync_point
pipeline    code codec stop coordination secret config wire column binlog schema change sync_point pack sink status guard mysql
logging     code config
engine      code stop status config pack sync_point sink guard coordination pipeline
control     code stop status config sync_point guard pipeline engine
cat         *
doctor      code stop config coordination wire binlog column schema change sync_point sink mysql pipeline logging
points      *
verify      code config stop wire column binlog schema change pack sync_point sink mysql pipeline logging
daemon      *
cli         *
lib         *
main        *
'
# Bytes and values in, bytes and values out.
readonly pure='codec code wire column binlog change pack schema'
# Pure modules that read bytes from outside: their lints take away the ways in which such bytes could panic us.
readonly guarded='codec wire column binlog change pack'
readonly impure_files='binlog/file.rs'
readonly most_lines=500

find . -name '*.rs' | sed 's|^\./||' | sort | awk -v may_use="$may_use" -v pure="$pure" -v guarded="$guarded" \
    -v impure_files="$impure_files" -v most_lines="$most_lines" '
function complain(what) {
    printf "src/%s:%d: %s\n", file, line_number, what
    complaints++
}

# True when `path` is `allowed` or lies under it.
function covers(allowed, path) {
    return path == allowed || index(path, allowed "::") == 1
}

function check_use(path,    allowed, count, words, i) {
    split(path, segments, "::")
    if (segments[1] == module) return
    if (!(segments[1] in rules)) return            # a macro, or an item that lib.rs itself holds
    count = split(rules[module], words, " ")
    for (i = 1; i <= count; i++) {
        if (words[i] == "*" || covers(words[i], path)) return
    }
    complain("`" module "` may not use `crate::" path "`")
}

# Every crate::… path of the line; and super::super::…, which would be a way around.
function check_paths(line,    rest, path, supers) {
    if (line ~ /crate::(\{|\*)/) complain("one `use crate::…;` per line, please")
    rest = line
    while (match(rest, /crate::[a-z_][a-z_0-9]*(::[A-Za-z_][A-Za-z_0-9]*)?/)) {
        path = substr(rest, RSTART + 7, RLENGTH - 7)
        rest = substr(rest, RSTART + RLENGTH)
        check_use(path)
    }
    rest = line
    while (match(rest, /(super::)+/)) {
        supers = RLENGTH / 7
        rest = substr(rest, RSTART + RLENGTH)
        if (supers > depth) complain("`super::` leaves the module here: write `crate::…`")
    }
}

function check_purity(line) {
    # Addresses are values.
    gsub(/std::net::(Ipv4Addr|Ipv6Addr|IpAddr)/, "", line)
    if (match(line, /std::(net|fs|thread)|(Instant|SystemTime)::now/)) {
        complain("`" module "` is pure: no " substr(line, RSTART, RLENGTH) " here")
    }
    if (line ~ /std::\{/) complain("one `use std::…;` per line in a pure module, please")
}

function start_file(    parts, count) {
    module = file
    sub(/\/.*/, "", module)
    sub(/\.rs$/, "", module)
    count = split(file, parts, "/")
    depth = count - 1
    if (parts[count] == "mod.rs") depth--
    line_number = 0
    if (!(module in rules)) complain("the module `" module "` has no line in check-layers.sh")
}

# Files that only tests compile: `#[cfg(test)] mod name;` in the file above them.
function find_test_files(    raw, folder, name) {
    folder = file
    if (!sub(/(mod|lib|main)\.rs$/, "", folder)) sub(/\.rs$/, "/", folder)
    while ((getline raw < file) > 0) {
        if (raw ~ /^#\[cfg\(test\)\]/ && (getline raw < file) > 0 && raw ~ /^(pub(\([a-z]+\))? )?mod [a-z_0-9]+;/) {
            name = raw
            sub(/.*mod /, "", name)
            sub(/;.*/, "", name)
            test_paths[folder name]
        }
    }
    close(file)
}

function only_for_tests(    path) {
    for (path in test_paths) {
        if (file == path ".rs" || index(file, path "/") == 1) return 1
    }
    return 0
}

function check_file(    line, raw, skipping, braces, code_lines, has_guard) {
    start_file()
    if (only_for_tests()) return
    while ((getline raw < file) > 0) {
        line_number++
        if (raw ~ /deny\(clippy::indexing_slicing/) has_guard = 1
        if (raw ~ /^#\[cfg\(test\)\]/) {
            if ((getline raw < file) <= 0) break
            line_number++
            # The tests: nothing but tests follows.
            if (raw ~ /^(pub(\([a-z]+\))? )?mod [a-z_0-9]+ *\{/) { line_number -= 2; break }
            skipping = 1
            braces = 0
        }
        line = raw
        gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
        gsub(/\047([^\047\\]|\\.)\047/, "", line)
        sub(/\/\/.*/, "", line)
        if (skipping) {
            braces += gsub(/\{/, "{", line) - gsub(/\}/, "}", line)
            if (braces == 0 && line ~ /[;}]/) skipping = 0
            continue
        }
        if (line ~ /^[ \t]*$/) continue
        code_lines++
        check_paths(line)
        if (module in is_pure && !(file in is_impure_file)) check_purity(line)
    }
    close(file)
    if (line_number > most_lines) complain("more than " most_lines " lines before its tests: cut it by what it knows")
    if (module in is_guarded && depth == 0 && code_lines > 0 && !has_guard) {
        line_number = 1
        complain("the lints against panics are missing: #![cfg_attr(not(test), deny(clippy::indexing_slicing, …))]")
    }
}

BEGIN {
    count = split(may_use, lines, "\n")
    for (i = 1; i <= count; i++) {
        if (split(lines[i], words, " ") == 0) continue
        name = words[1]
        sub(/^ *[^ ]+ */, "", lines[i])
        rules[name] = lines[i]
    }
    count = split(pure, words, " ")
    for (i = 1; i <= count; i++) is_pure[words[i]] = 1
    count = split(guarded, words, " ")
    for (i = 1; i <= count; i++) is_guarded[words[i]] = 1
    count = split(impure_files, words, " ")
    for (i = 1; i <= count; i++) is_impure_file[words[i]] = 1
}

{ files[NR] = $0 }

END {
    for (i = 1; i <= NR; i++) { file = files[i]; find_test_files() }
    for (i = 1; i <= NR; i++) { file = files[i]; check_file() }
    if (NR == 0) { print "check-layers.sh: no Rust files here"; exit 1 }
    exit complaints > 0
}
'
