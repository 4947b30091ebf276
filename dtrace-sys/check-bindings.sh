#!/bin/sh
# Compares the committed Linux bindings with libdtrace's own headers.
#
# Works on a Debian host by itself: the headers of Debian's current libdtrace are downloaded with
# apt's signature checks into target/, and nothing of the host changes except that libclang is
# installed when it is missing and this runs as root.
#
#   DTRACE_INCLUDE_DIR  use these headers, download nothing
#   DEBIAN_MIRROR       mirror to use; by default the one in the host's apt configuration
#   DEBIAN_SUITE        suite to take libdtrace2-dev from; sid by default
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
mkdir -p "$target"
target=$(CDPATH='' cd -- "$target" && pwd)

fail() {
    echo "check-bindings: $*" >&2
    exit 1
}

# bindgen loads libclang, which needs the compiler's own headers (stddef.h) beside it.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for library in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib64/libclang.so*; do
        [ -e "$library" ] || continue
        for header in "${library%/*}"/clang/*/include/stddef.h; do
            [ -e "$header" ] && return 0
        done
    done
    return 1
}

if ! have_libclang; then
    if [ "$(id -u)" -ne 0 ]; then
        fail "libclang is missing: apt-get install libclang-dev, or set LIBCLANG_PATH"
    fi
    echo "check-bindings: installing libclang-dev"
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends libclang-dev \
        >"$target/libclang.log" 2>&1 || {
        tail -n 20 "$target/libclang.log" >&2
        fail "apt-get install libclang-dev failed (apt-get update first?)"
    }
fi

host_mirror() {
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        awk '$1 == "URIs:" && $2 ~ /\/debian\/?$/ { print $2; exit }' "$file"
    done
    [ -e /etc/apt/sources.list ] || return 0
    awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /\/debian\/?$/) { print $i; exit } }' \
        /etc/apt/sources.list
}

download_headers() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        fail "not a Debian host: set DTRACE_INCLUDE_DIR to where dtrace.h is"
    mirror=${DEBIAN_MIRROR:-$(host_mirror | head -n 1)}
    [ -n "$mirror" ] || fail "no Debian mirror in the host's apt configuration: set DEBIAN_MIRROR"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"

    # A new directory each time: headers of an earlier version must not stay behind.
    rm -rf "$1"
    apt=$1/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
    : >"$apt/status"
    echo "deb [signed-by=$keyring] $mirror ${DEBIAN_SUITE:-sid} main" >"$apt/sources.list"
    # A mirror's index may be older than its own limit; its signature is checked all the same.
    cat >"$apt/conf" <<CONF
Dir::Etc "$apt";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
CONF
    if [ "$(id -u)" -eq 0 ]; then
        # apt's own user may not be able to write below target/.
        echo 'APT::Sandbox::User "root";' >>"$apt/conf"
    fi
    APT_CONFIG=$apt/conf apt-get -qq update
    (cd "$apt/debs" && APT_CONFIG=$apt/conf apt-get -qq download libdtrace2-dev libelf-dev binutils-dev)
    for package in "$apt"/debs/*.deb; do
        dpkg-deb -x "$package" "$1"
        dpkg-deb -W "$package"
    done
}

if [ -z "${DTRACE_INCLUDE_DIR:-}" ]; then
    headers=$target/dtrace-headers
    download_headers "$headers"
    DTRACE_INCLUDE_DIR=$headers/usr/include
fi
export DTRACE_INCLUDE_DIR
[ -e "$DTRACE_INCLUDE_DIR/dtrace.h" ] || fail "there is no dtrace.h in $DTRACE_INCLUDE_DIR"

cd "$here"
exec cargo test --features bindgen --test generated "$@"
