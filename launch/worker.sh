#!/usr/bin/env bash
# One host of a TPU slice: installs the package and keeps one background job. launch/tpu_vm.sh calls
# it on all hosts; the job, its log and its lock are in runs/worker.
#
#   bash launch/worker.sh install EXTRAS
#   bash launch/worker.sh start GENERATION COMMAND [--flag=value ...]
#   bash launch/worker.sh idle | stop | status | logs
set -euo pipefail
# shellcheck source=launch/shell.sh
. "$(dirname "$0")/shell.sh"
cd "$repository"
. launch/environment.sh
mkdir -p runs/worker
log=runs/worker/log.txt pid=runs/worker/pid lock=runs/worker/lock
grace=600 # seconds that a stopped job has to save

# The images of some generations have a Python that is too old; uv brings one.
install() {
  export PATH="$HOME/.local/bin:$PATH"
  command -v uv > /dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
  [ -x .venv/bin/python ] || uv venv --seed --python 3.12 .venv
  .venv/bin/pip install --quiet -e ".[$1]"
  .venv/bin/python -c "import seedance_jax; print('installed:', seedance_jax.__path__[0])"
}

# The job holds the lock as long as it, or a process of its own, lives.
running() {
  ! flock --nonblock "$lock" true
}

idle() {
  ! running || fail "$(hostname): a job is running: $(cat "$pid"); stop it first"
}

start() {
  local entry=$2
  tpu_environment "$1"
  exec 9> "$lock"
  flock --nonblock 9 || fail "$(hostname): a job is running; stop it first"
  echo "$(date -Is) $(quoted "$entry" "${@:3}")" >> "$log"
  setsid nohup .venv/bin/python -m seedance_jax "${@:2}" >> "$log" 2>&1 < /dev/null &
  echo "$! $entry" > "$pid"
  sleep 2 # a mistake in the flags ends it by now
  if ! kill -0 $! 2> /dev/null && ! wait $!; then
    tail -n 20 "$log" >&2
    fail "$(hostname): $entry ended at once"
  fi
  echo "$(hostname): started $entry, log in $repository/$log"
}

stop() {
  running || { echo "$(hostname): nothing is running" && return; }
  local job
  read -r job _ < "$pid"
  kill -TERM "$job" 2> /dev/null || true
  flock --timeout "$grace" "$lock" true ||
    fail "$(hostname): still running after $grace s; kill -KILL -$job ends it without saving"
  echo "$(hostname): stopped"
}

status() {
  if running; then echo "$(hostname): running: $(cat "$pid")"; else echo "$(hostname): nothing is running"; fi
  tail -n 1 "$log" 2> /dev/null || true
}

logs() {
  tail -n 100 -F "$log"
}

case ${1:-} in
  install | idle | start | stop | status | logs) "$@" ;;
  *) fail "no command '${1:-}'; legal: install idle start stop status logs" ;;
esac
