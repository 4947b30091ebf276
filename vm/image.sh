# Builds the image that a guest boots: kernel, modules and user land from Debian packages, below $CACHE.
#
# Sourced by `lane`, after `debian.sh`, which gets the packages.
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

# Prints a hash of everything that determines the image, so that a change leads to a new image.
recipe() { cat "$VM/debian.sh" "$VM/image.sh" "$VM/guest-init" <(echo "$ARCH $*") | sha256sum | cut -d' ' -f1; }

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
