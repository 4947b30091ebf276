# What differs between the architectures of guests? Sourced by `lane`.

# The architectures, by Debian's names.
ARCHES='amd64 arm64'

# Sets the variables for an architecture:
#   ARCH, TRIPLET, RUST_TARGET   its names for Debian, GNU and Rust
#   CACHE                        its images, below target/vm
#   PROFILE                      the directory of the programs that cargo builds for it
#   LOADER                       the file name of its dynamic loader
#   KERNELS                      the kernels that `all` means
#   FOREIGN                      not empty if this machine is of another architecture
select_arch() { # ARCH
  case $1 in
  amd64)
    TRIPLET=x86_64-linux-gnu RUST_TARGET=x86_64-unknown-linux-gnu LOADER=ld-linux-x86-64.so.2
    KERNELS='6.1 6.12 6.18 newest'
    ;;
  arm64)
    TRIPLET=aarch64-linux-gnu RUST_TARGET=aarch64-unknown-linux-gnu LOADER=ld-linux-aarch64.so.1
    KERNELS='6.1 6.12 6.12-16k newest'
    ;;
  *) fail "unknown architecture $1 (known: $ARCHES)" ;;
  esac
  ARCH=$1
  CACHE=$TARGET/vm
  PROFILE=$TARGET/debug
  FOREIGN=
  if [ "$(uname -m)" != "${TRIPLET%%-*}" ]; then
    FOREIGN=1
    CACHE=$TARGET/vm/$ARCH
    PROFILE=$CACHE/cargo/$RUST_TARGET/debug
  fi
}

# Installs what a guest of this architecture needs on this machine.
need_emulator() {
  case $ARCH in
  amd64) need qemu-system-x86_64 qemu-system-x86 ;;
  arm64) need qemu-system-aarch64 qemu-system-arm ;;
  esac
}

# Installs what builds programs for another architecture, and has cargo use it.
need_compiler() {
  [ -n "$FOREIGN" ] || return 0
  [ "$ARCH" = arm64 ] || fail "programs for $ARCH cannot be built on this machine"
  need "$TRIPLET-gcc" gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  rustup target add "$RUST_TARGET" >&2 ||
    fail "the standard library for $RUST_TARGET is not available (try: rustup target add $RUST_TARGET)"
  export CARGO_TARGET_DIR=$CACHE/cargo CARGO_BUILD_TARGET=$RUST_TARGET
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$TRIPLET-gcc
  export RUSTC_WRAPPER=$VM/rustc-for-arm64
}

# Runs cargo for the guest's architecture. The arguments follow the action.
cargo_for_guest() {
  (
    need_compiler
    cargo "$@"
  )
}

# Prints the name of a program for the guest's architecture, such as gcc or strip.
tool() {
  if [ -n "$FOREIGN" ]; then echo "$TRIPLET-$1"; else echo "$1"; fi
}

# Prints the frequency of this machine's time-stamp counter, in kHz.
tsc_khz() {
  local program=$CACHE/tsc-frequency
  if [ ! -x "$program" ]; then
    need gcc gcc libc6-dev
    gcc -O1 -o "$program" "$VM/tsc-frequency.c"
  fi
  "$program"
}

# Prints qemu's program and its options for the machine, one a line. The guest's serial lines are the console,
# output, exit status and archive, in this order. `guest-init` learns their names from the kernel's
# command line.
machine() { # SCRATCH
  case $ARCH in
  amd64)
    # Guests sometimes crash with plain `-cpu max`, but not without cx16. They have this machine's time-stamp counter.
    # On a busy machine a guest may mistake its frequency, and time then passes ten times as fast in it.
    printf '%s\n' qemu-system-x86_64 -M q35 -cpu max,-cx16 \
      -serial "file:$1/console" -serial chardev:output \
      -serial "file:$1/status" -serial "file:$1/out.tar" \
      -append "console=ttyS0 VM_LINES=ttyS1,ttyS2,ttyS3 tsc=reliable tsc_early_khz=$(tsc_khz) $(kernel_options)"
    ;;
  arm64)
    # Emulating the architecture's own algorithm for signed pointers is slow.
    printf '%s\n' qemu-system-aarch64 -M virt,gic-version=3 -cpu max,pauth-impdef=on \
      -serial "file:$1/console" -chardev "file,id=status,path=$1/status" \
      -chardev "file,id=archive,path=$1/out.tar" \
      -device pci-serial-4x,chardev1=output,chardev2=status,chardev3=archive,chardev4=unused \
      -chardev null,id=unused \
      -append "console=ttyAMA0 VM_LINES=ttyS0,ttyS1,ttyS2 $(kernel_options)"
    ;;
  esac
}

# Prints what all kernels are started with.
kernel_options() {
  echo "quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on audit=0 apparmor=0" \
    "rcupdate.rcu_expedited=1 rdinit=/init ${VM_APPEND:-}"
}
