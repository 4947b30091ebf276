# Boots a guest, runs one command in it, and returns its results. Sourced by `lane`.

# Writes an archive of the paths to standard output, for the guest to have them at the same paths.
archive_of() { # SCRATCH PATH…
  local scratch=$1/copies path file strip
  shift
  strip=$(tool strip)
  mkdir -p "$scratch"
  for path; do
    [ -e "$path" ] || fail "$path does not exist"
    while IFS= read -r -d '' file; do
      mkdir -p "$scratch${file%/*}"
      # Debug information is most of a program's size, and nothing in a guest reads it. Symbols stay.
      if [ -x "$file" ] && [ "$(head -c4 "$file" | tail -c3)" = ELF ]; then
        "$strip" --strip-debug -o "$scratch$file" "$file"
      else
        ln -f "$file" "$scratch$file" 2>/dev/null || cp -p "$file" "$scratch$file"
      fi
    done < <(find -L "$path" -type f -print0)
  done
  (cd "$scratch" && find . -mindepth 1 | pack)
}

run_in_guest() { # KERNEL SECONDS OUT COMMAND PATH…
  local kernel=$1 seconds=$2 out=$3 command=$4 image=$CACHE/$1 status machine
  shift 4
  # Global, because the trap uses it.
  SCRATCH=$(mktemp -d "$CACHE/run.XXXXXX")
  trap 'rm -rf "$SCRATCH"' EXIT
  mkdir "$SCRATCH/guest"
  {
    printf 'cd %q 2>/dev/null || cd /root\n' "$PWD"
    printf '%s\n' "$command"
  } >"$SCRATCH/guest/cmd"
  # An initramfs may consist of several concatenated archives.
  {
    cat "$CACHE/userland/userland.cpio" "$image/modules.cpio" ${tools:+"$CACHE/tools/tools.cpio"}
    (cd "$SCRATCH/guest" && echo cmd | pack)
    archive_of "$SCRATCH" "$@"
  } >"$SCRATCH/initrd"
  : >"$SCRATCH/status"
  : >"$SCRATCH/out.tar"
  # The io provider needs a disk.
  truncate -s 16M "$SCRATCH/disk"
  mapfile -t machine < <(machine "$SCRATCH")
  # One CPU is faster under emulation, and avoids waiting for other CPUs when probes are removed.
  timeout --foreground -k 5 "$seconds" "${machine[0]}" -chardev stdio,id=output,signal=off "${machine[@]:1}" -accel tcg \
    -smp "${VM_CPUS:-1}" -m "${VM_MEMORY:-1536}" -nodefaults -display none -no-reboot \
    -drive "file=$SCRATCH/disk,format=raw,if=virtio" \
    -kernel "$image/vmlinuz" -initrd "$SCRATCH/initrd" </dev/null || :
  cp "$SCRATCH/console" "$image/console" 2>/dev/null || :
  if [ -n "$out" ] && [ -s "$SCRATCH/out.tar" ]; then
    mkdir -p "$out"
    tar -C "$out" -xf "$SCRATCH/out.tar"
  fi
  status=$(tr -dc 0-9 <"$SCRATCH/status")
  rm -rf "$SCRATCH"
  if [ -z "$status" ]; then
    echo "vm: no exit status from the guest within $seconds s: it crashed or hangs. Its console:" >&2
    tail -40 "$image/console" >&2
    return 125
  fi
  return "$status"
}
