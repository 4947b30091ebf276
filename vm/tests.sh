# Runs the workspace's tests on stock kernels. Sourced by `lane`.
#
# The guest runs the same programs that `cargo test` runs on the host, because its C library is Debian
# sid's, which runs programs that were linked with an older one. They have the same paths there, because
# tests find programs and data by paths that cargo compiled in.

# The time limit for the tests on one kernel, in seconds. It is generous, to catch only guests that hang.
TEST_TIME=${VM_TEST_TIME:-1500}

# What the kernel is also booted with for tests/kernel_conditions.rs. The kernel ignores options of a module `test`.
CONDITIONS='lockdown=integrity lockdown=confidentiality debugfs=off test.function_tracing=broken'

# Builds the tests that run; prints `kind executable package-directory` for each program.
built_programs() {
  local selection=() name
  need jq jq
  for name in "${only[@]}"; do selection+=(--test "$name"); done
  {
    # Tests start examples and the worker. Where tests are named, `cargo test` does not build those.
    cargo_for_guest build --workspace --examples --bins --message-format=json &&
      cargo_for_guest test --workspace --no-run "${selection[@]}" --message-format=json
  } | jq -r 'select(.executable != null) |
      [.target.kind[0], .executable, (.manifest_path | rtrimstr("/Cargo.toml"))] | @tsv' | sort -u
}

# Builds the C program with USDT probes for tests/usdt.rs, with the packaged dtrace(1); prints its path.
usdt_program() {
  local sources=$WORKSPACE/tests/usdt to=$CACHE/usdt user=$CACHE/userland/root/usr libraries tools=1
  if [ -n "$FOREIGN" ]; then
    ! is_made "$to" "$(recipe usdt "$(cat "$sources"/*)")" || { echo "$to/shop"; return; }
    build_tools
    run_in_guest "${kernels[0]}" "$TEST_TIME" "$to" \
      "mkdir /tmp/syslib; cp -r /usr/lib/$TRIPLET/dtrace/drti /tmp/syslib; cp $sources/shop.* /tmp; cd /tmp
       dtrace='dtrace -xsyslibdir=/tmp/syslib -s shop.d'
       \$dtrace -h -o shop.h && gcc -O1 -I. -I/usr/lib/$TRIPLET/dtrace/include -c shop.c &&
       \$dtrace -G -o probes.o shop.o && gcc shop.o probes.o -o /out/shop" \
      "$sources" >&2 ||
      fail "cannot build the C program with probes"
    recipe usdt "$(cat "$sources"/*)" >"$to/recipe"
    echo "$to/shop"
    return
  fi
  need gcc gcc libc6-dev
  libraries=$user/lib/$TRIPLET
  rm -rf "$to"
  mkdir -p "$to/syslib"
  # Leaves out the D libraries, which depend on the kernel.
  cp -r "$libraries/dtrace/drti" "$to/syslib"
  (
    cd "$to"
    dtrace=("$libraries/$LOADER" --inhibit-cache --library-path "$libraries"
      "$user/sbin/dtrace" "-xsyslibdir=$to/syslib" -s "$sources/shop.d")
    "${dtrace[@]}" -h -o shop.h
    gcc -O1 -I. -I"$libraries/dtrace/include" -c "$sources/shop.c" -o shop.o
    "${dtrace[@]}" -G -o probes.o shop.o
    gcc shop.o probes.o -o shop
  ) >&2 || fail "cannot build the C program with probes"
  echo "$to/shop"
}

# Whether a test program is to run. The soak is for a machine that is not emulated, unless it is asked for.
is_selected() { # PROGRAM
  local name=${1##*/}
  name=${name%-*}
  if [ ${#only[@]} = 0 ]; then [ "$name" != soak ]; else [[ " ${only[*]} " == *" $name "* ]]; fi
}

# Whether a test program starts other programs that not every guest has.
needs_tools() { # PROGRAM PACKAGE-DIRECTORY
  local name=${1##*/}
  grep -q 'Command("' "$2/tests/${name%-*}.rs" "$2/${name%-*}.rs" 2>/dev/null
}

# Prints the memory in MB that a guest needs: it unpacks files in memory, and needs room for both copies.
memory_for() { # FILE…
  local size
  size=$(du -cLm "$@" | awk 'END { print $1 }')
  echo $((1024 + 2 * size))
}

# Prints the command that runs all tests in a guest. It continues after a failure. With an option of the kernel
# it runs those that need to know what the kernel then does.
test_command() { # KERNEL OPTION FILTER… <programs
  local kernel=$1 option=$2 kind program package
  shift 2
  # Tests that lack something fail, those of function tracing included, instead of being ignored.
  echo "export DTRACE_STOCK_KERNEL=$kernel DTRACE_CONSUMER_TESTS=all"
  echo "export ${option:+DTRACE_KERNEL_OPTION=}${option:-DTRACE_CONSUMER_REQUIRE_LIVE=1}"
  echo "export CARGO_TARGET_DIR=${PROFILE%/debug} RUST_BACKTRACE=1"
  echo "export DTRACE_USDT_PROGRAM=$CACHE/usdt/shop failed="
  while read -r kind program package; do
    [ "$kind" = test ] && is_selected "$program" || continue
    [ -z "$option" ] || [[ $program == */kernel_conditions-* ]] || continue
    echo "echo '== ${program##*/}'; cd $package && $program --color never $* || failed=\"\$failed ${program##*/}\""
  done
  # shellcheck disable=SC2016 # the guest's shell expands it
  echo '[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }'
}

run_tests() {
  local kernel programs kind program rest paths=() usdt="" status=0 option conditions
  cd "$WORKSPACE"
  programs=$(built_programs)
  while read -r kind program rest; do
    case $kind in
      test)
        is_selected "$program" || continue
        paths+=("$program")
        ! needs_tools "$program" "$rest" || tools=1
        ;;
      example | bin) paths+=("$program") ;;
    esac
  done <<<"$programs"
  # Tests start this program by its name without the hash, and load the stand-in for libdtrace.
  for program in dtrace-worker deps/libdtrace_stand_in.so; do
    [ ! -e "$PROFILE/$program" ] || paths+=("$PROFILE/$program")
  done
  [ -z "$tools" ] || build_tools
  local VM_MEMORY=${VM_MEMORY:-$(memory_for "${paths[@]}" ${tools:+"$CACHE/tools/tools.cpio"})}
  for kernel in "${kernels[@]}"; do
    build "$kernel"
    [ -n "$usdt" ] || ! is_selected usdt- || usdt=$(usdt_program)
    conditions=$(is_selected kernel_conditions- && echo "$CONDITIONS" || :)
    for option in "" $conditions; do
      echo "== kernel $(cat "$CACHE/$kernel/release")${option:+ with $option}"
      VM_APPEND="${VM_APPEND:-} $option" run_in_guest "$kernel" "${seconds:-$TEST_TIME}" "$out" \
        "$(test_command "$kernel" "$option" "$*" <<<"$programs")" \
        "${paths[@]}" ${usdt:+"$usdt"} "$WORKSPACE"/{,dtrace-*/,dtrace-*/*/}tests || status=1
    done
  done
  return $status
}

# Prints one kernel's column: `provider <tab> state <tab> remark` lines.
providers_of() { # KERNEL, or `host`
  local program=$PROFILE/examples/providers
  if [ "$1" = host ]; then
    "$program"
    return
  fi
  build "$1"
  run_in_guest "$1" "$TEST_TIME" "" "$program" "$program"
}

# Rewrites the architecture's table in docs/platforms.md. Enables a probe of each provider on each kernel, and
# on the host if that is of the architecture.
write_table() {
  local page=$WORKSPACE/docs/platforms.md kernel columns=() scratch release
  mkdir -p "$CACHE"
  cd "$WORKSPACE"
  cargo_for_guest build --package dtrace-usdt-examples --example providers
  scratch=$(mktemp -d "$CACHE/table.XXXXXX")
  for kernel in "${kernels[@]}" $([ -n "$FOREIGN" ] || echo host); do
    echo "vm: providers of $kernel" >&2
    providers_of "$kernel" >"$scratch/$kernel" || echo "vm: some providers were not tested on $kernel" >&2
    release=$([ "$kernel" = host ] && echo "without function tracing: $(uname -r | cut -d- -f1)" ||
      cat "$CACHE/$kernel/release")
    echo "$release" >"$scratch/$kernel.release"
    columns+=("$kernel")
  done
  table_of "$scratch" "${columns[@]}" >"$scratch/table"
  sed -i -e "/^<!-- table $ARCH -->/,/^<!-- end of table -->/{/^<!-- table $ARCH -->/r $scratch/table" \
    -e '/^<!--/!d}' "$page"
  rm -rf "$scratch"
}

table_of() { # DIRECTORY COLUMN…
  local dir=$1
  shift
  awk -F '\t' -v dir="$dir" -v columns="$*" '
    BEGIN {
      n = split(columns, column, " ")
      head = "| provider |"; rule = "|---|"
      for (c = 1; c <= n; c++) {
        getline release <(dir "/" column[c] ".release")
        head = head " " release " |"; rule = rule "---|"
        while ((getline line <(dir "/" column[c])) > 0) {
          split(line, f, "\t")
          if (!(f[1] in seen)) { seen[f[1]] = 1; order[++rows] = f[1] }
          state[f[1], c] = f[2]
          if (f[2] == "refused" && f[3] != "") {
            if (!(f[3] in note)) { note[f[3]] = ++notes; text[notes] = f[3] }
            state[f[1], c] = "refused [" note[f[3]] "]"
          }
        }
      }
      print ""; print head; print rule
      for (r = 1; r <= rows; r++) {
        line = "| " order[r] " |"
        for (c = 1; c <= n; c++) line = line " " ((order[r], c) in state ? state[order[r], c] : "-") " |"
        print line
      }
      print ""
      for (i = 1; i <= notes; i++) print i ". " text[i]
      if (notes) print ""
    }' </dev/null
}
