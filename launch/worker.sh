#!/usr/bin/env bash
# One host of a TPU slice: installs the package and keeps one background job. launch/tpu_vm.sh calls
# it on all hosts; the job, its log and its lock are in runs/worker.
#
#   bash launch/worker.sh install EXTRAS
#   bash launch/worker.sh start GENERATION COMMAND [--flag=value ...]
#   bash launch/worker.sh idle | stop [WORD] | status | logs
#   bash launch/worker.sh state | last | tail         for launch/watch.sh
set -euo pipefail
# shellcheck source=launch/shell.sh
. "$(dirname "$0")/shell.sh"
cd "$repository"
. launch/environment.sh
mkdir -p runs/worker
log=runs/worker/log.txt pid=runs/worker/pid lock=runs/worker/lock
outcome=runs/worker/outcome stopping=runs/worker/stopping
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
  rm -f "$outcome" "$stopping"
  setsid nohup bash launch/worker.sh job "${@:2}" >> "$log" 2>&1 < /dev/null &
  sleep 2 # a mistake in the flags ends it by now
  if grep -qs ^failed "$outcome"; then
    tail -n 20 "$log" >&2
    fail "$(hostname): $entry ended at once"
  fi
  echo "$(hostname): started $entry, log in $repository/$log"
}

# In the background: the command, and a word on how it ended. `train` says by its status whether it
# was a signal, as of a host that shuts down.
job() {
  local entry=$1 child watcher status=0
  [ "$entry" != train ] || set -- "$@" --stopped_status="$unfinished"
  setsid .venv/bin/python -m seedance_jax "$@" &
  child=$!
  echo "$child $entry" > "$pid"
  notices "$child" 9>&- &
  watcher=$!
  wait "$child" || status=$?
  kill "$watcher" 2> /dev/null || true
  if [ -e "$stopping" ]; then
    cat "$stopping"
  else
    case $status in 0) echo finished ;; "$unfinished") echo interrupted ;; *) echo "failed $status" ;; esac
  fi > "$outcome"
}

# Google tells a host that it is preempted, or shut down for maintenance, a while before: the job
# saves at once. https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice
notices() { # process
  local key
  while sleep 5; do
    if key=$(announced); then
      echo "$(date -Is) notice: $key; saving"
      echo interrupted > "$stopping" # also if it is so young that the signal just ends it
      kill -TERM "$1"
      return
    fi
  done
}

# What the host is told to expect, if anything.
announced() {
  local url=http://metadata.google.internal/computeMetadata/v1/instance key
  for key in preempted maintenance-event; do
    case $(curl --silent --max-time 4 --header "Metadata-Flavor: Google" "$url/$key") in
      TRUE | TERMINATE_*) echo "$key" && return ;;
    esac
  done
  return 1
}

stop() {
  running || { echo "$(hostname): nothing is running" && return; }
  local job
  read -r job _ < "$pid"
  echo "${1:-stopped}" > "$stopping"
  kill -TERM "$job" 2> /dev/null || true
  flock --timeout "$grace" "$lock" true ||
    fail "$(hostname): still running after $grace s; kill -KILL -$job ends it without saving"
  echo "$(hostname): stopped"
}

status() {
  if running; then echo "$(hostname): running: $(cat "$pid")"; else echo "$(hostname): nothing is running"; fi
  tail -n 1 "$log" 2> /dev/null || true
}

# A word on the job: running, how it ended, or leaving: the host ends soon, and nothing starts here.
state() {
  local word=running
  if ! running; then
    word=$(cut -d' ' -f1 "$outcome" 2> /dev/null || echo idle)
    [[ ! $word =~ ^(interrupted|idle)$ ]] || ! announced > /dev/null || word=leaving
  fi
  echo "state: $(hostname) $word"
}

last() {
  tail -c 300 "$log" | tr '\r' '\n' | tail -n 1 # a progress bar rewrites its line
}

logs() {
  tail -n 100 -F "$log"
}

case ${1:-} in
  install | idle | start | job | stop | status | state | last | logs) "$@" ;;
  tail) tail -n 20 "$log" ;;
  *) fail "no command '${1:-}'; legal: install idle start stop status logs" ;;
esac
