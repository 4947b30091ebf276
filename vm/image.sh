# Makes what a guest boots from: Debian packages -> kernel, modules and a user land, below $CACHE.
#
# Sourced by `lane`. Nothing of the host's apt or dpkg is touched: apt gets a state of its own, with
# the host's mirror and way of reaching it, and Debian's own keyring to verify what comes.
#
#   $CACHE/userland/userland.cpio     Debian sid's libdtrace, dtrace(1), busybox and C library
#   $CACHE/<kernel>/vmlinuz, modules.cpio, release

# The kernels that `all` stands for: those of the stable releases, and of backports the last 6.x with
# long support and the newest.
KERNELS='6.1 6.12 6.18 newest'

# The suite that has a kernel. Any series that backports holds may be named.
suite_of() {
  case $1 in
  6.1) echo bookworm ;;
  6.12) echo trixie ;;
  newest | [0-9]*.[0-9]*) echo trixie-backports ;;
  *) fail "no kernel is called $1; there are $KERNELS, and the series in Debian's backports" ;;
  esac
}

# What a guest needs: dtrace(1) with libdtrace, the run-time library of Rust programs, and a shell.
USERLAND_PACKAGES='base-files dtrace libdtrace2 libgcc-s1 busybox-static'

# USDT needs a character device in user space, disks are for the io provider.
MODULES='fuse cuse virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk'

# Archives in initramfs format, of the current directory.
pack() { cpio --quiet -o -H newc -R 0:0; }

need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "vm: installing $2" >&2
    # A new machine may know of no packages yet.
    for refresh in true "apt-get -qq update"; do
      $refresh >&2 && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --no-install-recommends "$2" >&2 </dev/null && break
    done
  fi
  command -v "$1" >/dev/null || fail "$1 is missing; install it: apt-get install $2"
}

# The address that the host's apt gets Debian from. VM_DEBIAN_MIRROR names another.
mirror() {
  if [ -n "${VM_DEBIAN_MIRROR:-}" ]; then
    echo "$VM_DEBIAN_MIRROR"
    return
  fi
  # shellcheck disable=SC2016 # the names in parentheses are apt's
  apt-get indextargets --format '$(REPO_URI) $(SUITE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$3 == "main" && $2 !~ /-/ { print $1; exit }' | grep . ||
    fail "apt names no mirror of Debian; run apt-get update, or set VM_DEBIAN_MIRROR"
}

# Starts an apt state of its own in directory $1 for the suites $2…; from then on APT_CONFIG is set.
private_apt() {
  local dir=$1 suite settings address
  shift
  [[ $dir != *[\"\\]* ]] || fail "apt cannot write to a directory of such a name: $dir"
  mkdir -p "$dir"/{parts,lists/partial,cache/archives/partial,debs}
  : >"$dir/status"
  address=$(mirror)
  for suite; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $address $suite main"
  done >"$dir/sources.list"
  # How the host reaches its mirror: proxies, certificates, tolerance for old snapshots.
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
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
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

# Whether directory $1 was made by recipe $2; if not, it is emptied.
is_made() {
  [ "$(cat "$1/recipe" 2>/dev/null)" = "$2" ] && return
  rm -rf "$1"
  mkdir -p "$1"
  return 1
}

# A name of everything that decides what comes out, so that a change of it leads to a new image.
recipe() { cat "$VM/image.sh" "$VM/guest-init" <(echo "$*") | sha256sum | cut -d' ' -f1; }

build_userland() {
  local to=$CACHE/userland recipe root packages
  recipe=$(recipe)
  is_made "$to" "$recipe" && return
  echo "vm: building the user land from Debian sid" >&2
  root=$to/root
  mkdir "$root"
  (
    private_apt "$to/apt" sid
    # shellcheck disable=SC2086 # a list
    packages=$(apt-get -qq -s install $USERLAND_PACKAGES | awk '/^Inst/ { print $2 }')
    # shellcheck disable=SC2086
    unpack "$root" $packages
  )
  rm -rf "$root"/usr/share/{doc,man,locale,lintian,bug,info} "$root"/usr/lib/x86_64-linux-gnu/gconv
  mkdir -p "$root"/{out,tmp,root} "$root/var/tmp"
  install -m 755 "$VM/guest-init" "$root/init"
  (cd "$root" && find . | pack) >"$to/userland.cpio"
  rm -rf "$to/apt"
  echo "$recipe" >"$to/recipe"
}

build_kernel() { # NAME
  local name=$1 to=$CACHE/$1 recipe suite package parts release module file number=0
  suite=$(suite_of "$name")
  recipe=$(recipe "$name")
  is_made "$to" "$recipe" && return
  echo "vm: building kernel $name from Debian $suite" >&2
  mkdir -p "$to/root" "$to/modules/mod"
  (
    private_apt "$to/apt" "$suite"
    # The cloud flavour has what tracing needs, and boots a second faster than the generic one.
    package=$(apt-cache pkgnames "linux-image-${name/#newest/}" |
      grep -E "^linux-image-${name/#newest/[0-9]+.[0-9]+}\.[0-9].*-cloud-amd64$" | sort -V | tail -1)
    [ -n "$package" ] || fail "Debian $suite has no cloud kernel $name here"
    # Newer kernels come in parts.
    parts=$(apt-cache depends "$package" |
      awk '$1 == "Depends:" && $2 ~ /^linux-(binary|modules)-/ { print $2 }')
    # shellcheck disable=SC2086 # a list
    unpack "$to/root" "$package" $parts
  )
  file=$(find "$to/root" -name 'vmlinuz-*' -o -name vmlinuz | head -1)
  [ -n "$file" ] || fail "the packages of kernel $name hold no vmlinuz"
  cp "$file" "$to/vmlinuz"
  release=$(find "$to/root" -path '*/lib/modules/*' -prune -print -quit)
  # Numbered in the order in which they can be loaded.
  for module in $MODULES; do
    number=$((number + 1))
    file=$(find "$to/root" -name "$module.ko*" -print -quit)
    [ -n "$file" ] || continue # built in, or not in this flavour
    cp "$file" "$to/modules/mod/$(printf %02d $number)-${file##*/}"
  done
  find "$to/modules/mod" -name '*.xz' -exec xz -dq {} +
  (cd "$to/modules" && find . | pack) >"$to/modules.cpio"
  rm -rf "$to"/{apt,root,modules}
  echo "${release##*/}" >"$to/release"
  echo "$recipe" >"$to/recipe"
}

build() { # KERNEL
  need qemu-system-x86_64 qemu-system-x86
  need cpio cpio
  need xz xz-utils
  build_userland
  build_kernel "$1"
}
