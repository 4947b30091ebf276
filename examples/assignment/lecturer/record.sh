#!/usr/bin/env bash
# Records the traffic of the lab and anonymises the recording. Needs root, libdtrace, Python 3 and up to 10 minutes.
#
#     ./record.sh SEED OUTPUT
#
# Another SEED gives other sizes, ports and times: one recording to hand out, another one to grade with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seed=$1 output=$2
recorder=${DTRACE_RECORDING:-dtrace-recording}

# The interpreter itself, because a script that starts it would be traced, too.
python=$(python3 -c 'import sys; print(sys.executable)')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" "$here/traffic.py" plan "$scratch/plan.json" "$seed"
# Each CPU has its own buffer. They are read every second, one after the other, so segments do not arrive in the
# order of their times. On a busy machine the same happens without this option.
"$recorder" record -x switchrate=1s "$here/../handout/tcp.d" "$scratch/raw.dtrace" -- \
    "$python" "$here/traffic.py" run "$scratch/plan.json"
"$recorder" anonymise --force "$scratch/raw.dtrace" "$output"
"$recorder" replay --ndjson "$output" > "$scratch/lines"
"$python" "$here/traffic.py" check "$scratch/lines"
"$recorder" info "$output"
