#!/usr/bin/env bash
# Runs a command as N processes on this machine's CPU, to test multi-host runs.
#
#   bash launch/local_cluster.sh [--logs=DIR] [--grace=SECONDS] [--slices=N] N COMMAND...
#   bash launch/local_cluster.sh 2 python -m seedance_jax train --config=configs/vae.py:smoke \
#       --workdir=runs/two
#
# Every process gets --coordinator, --num_processes and --process_id. Its output is in DIR/I.log and
# here, after "[I]". If one fails, the others get SIGTERM and, after the grace, SIGKILL; so they do on
# Ctrl-C. The exit status is that of the first failure. With --slices=2 each half of the processes is
# taken for a slice.
set -euo pipefail
# shellcheck source=launch/shell.sh
. "$(dirname "$0")/shell.sh"

options=()
while [[ ${1:-} == --* ]]; do options+=("$1") && shift; done
read_options "logs= grace= slices=" "${options[@]}"
number=${1:-} command=("${@:2}")
logs=${option[logs]:-runs/local_cluster} grace=${option[grace]:-60}
[[ $number =~ ^[1-9][0-9]*$ ]] || fail "N='$number' processes; legal: 1, 2, ..."
[[ $grace =~ ^[0-9]+$ ]] || fail "--grace='$grace'; legal: whole seconds"
slices=${option[slices]:-1}
[[ $slices =~ ^[1-9][0-9]*$ && $((number % slices)) == 0 ]] ||
  fail "--slices='$slices' of $number processes; legal: a number that divides them"
((${#command[@]})) || fail "nothing to run; write: local_cluster.sh N COMMAND..."

export JAX_PLATFORMS=cpu MEGASCALE_NUM_SLICES=$slices
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$logs"
declare -A alive=() # process id -> its number

alive_pids() {
  local pid
  for pid in "${!alive[@]}"; do ! kill -0 "$pid" 2> /dev/null || echo "$pid"; done
}

# Every process leads a group of its own, so that no child of it is left behind.
stop_all() {
  local pid end=$((SECONDS + grace))
  trap '' INT TERM
  for pid in $(alive_pids); do kill -TERM "$pid"; done
  while ((SECONDS < end)) && [ "$(alive_pids)" ]; do sleep 0.1; done
  for pid in $(alive_pids); do
    echo "process ${alive[$pid]} did not stop within $grace s: killed" >&2
  done
  for pid in "${!alive[@]}"; do kill -KILL -- "-$pid" 2> /dev/null || true; done
  wait 2> /dev/null # bash would report every kill
}

trap 'echo "stopping all" >&2; stop_all; exit 130' INT
trap 'echo "stopping all" >&2; stop_all; exit 143' TERM

for ((i = 0; i < number; i++)); do
  cluster=(--coordinator="127.0.0.1:$port" --num_processes="$number" --process_id="$i")
  setsid "${command[@]}" "${cluster[@]}" > >(tee "$logs/$i.log" | sed -u "s/^/[$i] /") 2>&1 < /dev/null &
  alive[$!]=$i
done

while ((${#alive[@]})); do
  status=0
  wait -n -p ended "${!alive[@]}" 2> /dev/null || status=$?
  process=${alive[$ended]}
  if ((status)); then
    echo "process $process ended with status $status, see $logs/$process.log; stopping the others" >&2
    stop_all
    exit "$status"
  fi
  unset "alive[$ended]"
done
wait # for the output
