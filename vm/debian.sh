# Unpacks Debian packages below the target directory. The host's apt and dpkg are not touched: apt runs with a separate
# state, the host's mirror and proxies, and Debian's keyring to verify packages.
#
# Sourced by `lane`, and by `.ci/systems`. Needs $ARCH, Debian's name of the packages' architecture, and `fail`.

# Installs the packages if the program is missing.
need() { # PROGRAM PACKAGE…
  local program=$1
  shift
  command -v "$program" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $*" >&2
    # A new machine may have no package lists yet.
    for refresh in true "apt-get -qq update"; do
      $refresh >&2 && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --no-install-recommends "$@" >&2 </dev/null && break
    done
  fi
  command -v "$program" >/dev/null || fail "$program is missing (install it with: apt-get install $*)"
}

# Prints the address from which the host's apt gets Debian. VM_DEBIAN_MIRROR overrides it.
mirror() {
  if [ -n "${VM_DEBIAN_MIRROR:-}" ]; then
    echo "$VM_DEBIAN_MIRROR"
    return
  fi
  # shellcheck disable=SC2016 # the names in parentheses are apt's
  apt-get indextargets --format '$(REPO_URI) $(SUITE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$3 == "main" && $2 !~ /-/ { print $1; exit }' | grep . ||
    fail "apt has no mirror of Debian (run apt-get update, or set VM_DEBIAN_MIRROR)"
}

# Creates a separate apt state in directory $1 for the suites $2…, and sets APT_CONFIG.
private_apt() {
  local dir=$1 suite settings address
  shift
  [[ $dir != *[\"\\]* ]] || fail "apt's configuration cannot express the path $dir"
  mkdir -p "$dir"/{parts,lists/partial,cache/archives/partial,debs}
  : >"$dir/status"
  address=$(mirror)
  for suite; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $address $suite main"
  done >"$dir/sources.list"
  # The host's settings to reach its mirror: proxies, certificates, tolerance for old snapshots.
  settings=$(apt-config dump | grep '^Acquire::.*";$' | grep -v '^Acquire::\(Languages\|IndexTargets\)' || :)
  cat >"$dir/apt.conf" <<EOF
$settings
Dir::Etc::main "none";
Dir::Etc::parts "$dir/parts";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "$dir/parts";
Dir::Etc::preferencesparts "$dir/parts";
Dir::State "$dir";
Dir::State::status "$dir/status";
Dir::State::lists "$dir/lists";
Dir::Cache "$dir/cache";
Dir::Log "$dir";
APT::Architecture "$ARCH";
APT::Architectures { "$ARCH"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
EOF
  export APT_CONFIG=$dir/apt.conf
  apt-get -qq update >&2
}

# Unpacks packages $2… into directory $1.
unpack() {
  local into=$1 deb
  shift
  (cd "${APT_CONFIG%/*}/debs" && apt-get -qq download "$@" >&2)
  for deb in "${APT_CONFIG%/*}"/debs/*.deb; do dpkg-deb -x "$deb" "$into"; done
}

# Succeeds if directory $1 was built by recipe $2; otherwise empties it and fails.
is_made() {
  [ "$(cat "$1/recipe" 2>/dev/null)" = "$2" ] && return
  rm -rf "$1"
  mkdir -p "$1"
  return 1
}
