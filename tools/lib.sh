# shellcheck shell=bash
# What the scripts of this directory share. Source it first: it sets `root` and answers --help.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Prints what is done, so that nobody wonders why it takes long. Data goes to standard output, this does not.
say() { printf '%s\n' "$*" >&2; }

# Ends with a code and a reason.
die() {
    local code=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$code"
}

# The comment at the head of the script is its help.
print_help() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; }

answer_help() {
    local argument
    for argument in "$@"; do
        case $argument in
            --) return ;;
            -h | --help)
                print_help
                exit 0
                ;;
        esac
    done
}

# Flags of every build, so that the tools share what they compiled. Release programs carry the Swift runtime in them:
# they run where Swift is not installed.
build_flags() {
    case $1 in
        debug) echo "-c debug" ;;
        release) echo "-c release --static-swift-stdlib" ;;
    esac
}

# build CONFIGURATION [PRODUCT...]: builds all products, or those named.
build() {
    local configuration=$1 product
    shift
    local -a flags
    read -r -a flags <<<"$(build_flags "$configuration")"
    tools/setup --quiet
    if (($# == 0)); then
        say "building everything ($configuration)"
        swift build "${flags[@]}" >&2
        return
    fi
    for product in "$@"; do
        say "building $product ($configuration)"
        swift build "${flags[@]}" --product "$product" >&2
    done
}

# Where the programs of a configuration are.
bin_path() {
    local -a flags
    read -r -a flags <<<"$(build_flags "$1")"
    swift build "${flags[@]}" --show-bin-path
}
