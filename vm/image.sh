# Builds the image that a guest boots: kernel, modules and user land from Debian packages, below $CACHE.
#
# Sourced by `lane`. The host's apt and dpkg are not touched: apt runs with a separate state, the host's
# mirror and proxies, and Debian's keyring to verify packages.
#
#   $CACHE/userland/userland.cpio     Debian sid's libdtrace, dtrace(1), busybox and C library
#   $CACHE/tools/tools.cpio           what some tests need besides
#   $CACHE/<kernel>/vmlinuz, modules.cpio, release

# Prints the suite that has a kernel. Any series in backports may be named.
suite_of() {
  case ${1%-16k} in
  6.1) echo bookworm ;;
  6.12) echo trixie ;;
  newest | [0-9]*.[0-9]*) echo trixie-backports ;;
  *) fail "unknown kernel $1 (known: $KERNELS, and the series in Debian's backports)" ;;
  esac
}

# Packages of the user land: dtrace(1) with libdtrace, the run-time library of Rust programs, and a shell. Programs
# that tests trace, such as true(1) and sh(1), are linked dynamically, as on other machines; busybox is not.
USERLAND_PACKAGES='base-files dtrace libdtrace2 libgcc-s1 busybox-static coreutils dash'

# Packages of what some tests need besides: a C compiler, tracers and programs that change users.
TOOLS_PACKAGES='gcc libc6-dev strace util-linux mount sudo opendoas base-passwd'

# USDT needs a character device in user space (cuse); the io provider needs a disk (virtio).
MODULES='fuse cuse virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk'

# Packs the files that standard input names into an archive in initramfs format.
pack() { cpio --quiet -o -H newc -R 0:0; }

need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "vm: installing $2" >&2
    # A new machine may have no package lists yet.
    for refresh in true "apt-get -qq update"; do
      $refresh >&2 && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --no-install-recommends "$2" >&2 </dev/null && break
    done
  fi
  command -v "$1" >/dev/null || fail "$1 is missing (install it with: apt-get install $2)"
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

# Prints a hash of everything that determines the image, so that a change leads to a new image.
recipe() { cat "$VM/image.sh" "$VM/guest-init" <(echo "$ARCH $*") | sha256sum | cut -d' ' -f1; }

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
    echo "$packages" >"$to/packages"
  )
  rm -rf "$root"/usr/share/{doc,man,locale,lintian,bug,info} "$root/usr/lib/$TRIPLET/gconv"
  # base-files makes most of these only when it is installed.
  mkdir -p "$root"/{out,root,home,mnt,usr/local} "$root/var/log"
  install -d -m 1777 "$root/tmp" "$root/var/tmp"
  install -m 755 "$VM/guest-init" "$root/init"
  (cd "$root" && find . | pack) >"$to/userland.cpio"
  rm -rf "$to/apt"
  echo "$recipe" >"$to/recipe"
}

# Builds the archive of tools, for a guest that has the user land, too.
build_tools() {
  local to=$CACHE/tools recipe root packages file
  build_userland
  recipe=$(recipe tools)
  is_made "$to" "$recipe" && return
  echo "vm: building the tools from Debian sid" >&2
  root=$to/root
  mkdir "$root"
  (
    private_apt "$to/apt" sid
    # shellcheck disable=SC2086 # a list
    packages=$(apt-get -qq -s install $USERLAND_PACKAGES $TOOLS_PACKAGES | awk '/^Inst/ { print $2 }' |
      grep -vxFf "$CACHE/userland/packages")
    # shellcheck disable=SC2086
    unpack "$root" $packages
  )
  rm -rf "$root"/usr/share/{doc,man,locale,lintian,bug,info} "$root/usr/lib/$TRIPLET/gconv"
  # Large, and no test needs it: the optimiser at link time, and sanitizers.
  find "$root/usr" \( -name lto1 -o -name 'lib*san*' \) -delete
  # What the packages' scripts would do.
  ln -s gcc "$root/usr/bin/cc"
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  for file in auth account password session session-noninteractive; do
    echo "${file%%-*} required pam_permit.so" >"$root/etc/pam.d/common-$file"
  done
  echo "auth required pam_deny.so" >"$root/etc/pam.d/common-auth"
  (cd "$root" && find . | pack) >"$to/tools.cpio"
  rm -rf "$to"/{apt,root}
  echo "$recipe" >"$to/recipe"
}

build_kernel() { # NAME
  local name=$1 to=$CACHE/$1 recipe suite series flavour package parts release module file number=0
  suite=$(suite_of "$name")
  recipe=$(recipe "$name")
  is_made "$to" "$recipe" && return
  echo "vm: building kernel $name from Debian $suite" >&2
  mkdir -p "$to/root" "$to/modules/mod"
  (
    private_apt "$to/apt" "$suite"
    # The cloud flavour has everything that tracing needs, and boots a second faster than the generic one.
    series=${name%-16k} flavour=cloud-$ARCH
    [[ $name != *-16k ]] || flavour=$ARCH-16k
    package=$(apt-cache pkgnames "linux-image-${series/#newest/}" |
      grep -E "^linux-image-${series/#newest/[0-9]+.[0-9]+}\.[0-9][^-]*(-[0-9]+)?-$flavour$" | sort -V | tail -1)
    [ -n "$package" ] || fail "no kernel $series of the flavour $flavour in Debian $suite on this mirror"
    # Newer kernels are split into several packages.
    parts=$(apt-cache depends "$package" |
      awk '$1 == "Depends:" && $2 ~ /^linux-(binary|modules)-/ { print $2 }')
    # shellcheck disable=SC2086 # a list
    unpack "$to/root" "$package" $parts
  )
  file=$(find "$to/root" -name 'vmlinuz-*' -o -name vmlinuz | head -1)
  [ -n "$file" ] || fail "no vmlinuz in the packages of kernel $name"
  cp "$file" "$to/vmlinuz"
  release=$(find "$to/root" -path '*/lib/modules/*' -prune -print -quit)
  # Numbered in the order in which they must be loaded.
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
  need_emulator
  need cpio cpio
  need xz xz-utils
  build_userland
  build_kernel "$1"
}
