# shellcheck shell=bash
# `launch/tpu_vm.sh watch`: keeps a slice, and its job, until the job is finished. Sourced by it.
#
# What it does are the other commands of tpu_vm.sh; each decision is printed before. What it goes by:
# the state of the queued resource, and the word that launch/worker.sh has for the job of every host.

watch() {
  need accelerator
  check_command
  check_place
  of_accelerator_type "${option[accelerator]}" > /dev/null
  [ ! "${option[dry-run]:-}" ] || fail "watch goes by what gcloud answers; --dry-run is of create, install, run and delete"
  local name wishes=() flags=()
  for name in poll attempts failures; do
    [[ ${option[$name]:-1} =~ ^[0-9]+$ ]] || fail "--$name=${option[$name]}; legal: 0, 1, ..."
  done
  for name in spot reserved; do [ ! "${option[$name]:-}" ] || wishes+=("--$name"); done
  for name in service-account runtime; do [ ! "${option[$name]:-}" ] || wishes+=("--$name=${option[$name]}"); done
  read -ra flags <<< "${option[create-flags]:-}"
  local poll=${option[poll]:-30} attempts=${option[attempts]:-50} failures=${option[failures]:-3}
  local spent=0 failed=0 silent=0 since=0 told="" state patience=(timeout 120)
  while true; do
    state=$(slice_state)
    [ "$state" == "$told" ] || say "the slice ${option[name]}: $state"
    [ "${state%%:*}" == "${told%%:*}" ] || silent=0
    told=$state
    case $state in
      NONE)
        spend "asking for ${option[slices]:-1} of ${option[accelerator]}"
        self create --accelerator="${option[accelerator]}" "${wishes[@]}" -- "${flags[@]}" || silence "the request was refused"
        ;;
      ACTIVE) look_after ;;
      SUSPENDING | SUSPENDED | FAILED)
        say "the slice is lost: deleting what is left of it"
        self delete || silence "it could not be deleted"
        ;;
      UNKNOWN*) silence "gcloud does not answer" ;;
      *) silent=0 ;; # on its way, or being deleted
    esac
    sleep "$poll"
  done
}

# The job of a slice that is there.
look_after() {
  local answer words before=$silent
  if ! answer=$(on_workers all "$(state_of_host)" 2>&1); then
    silence "a host does not answer: $(last_line "$answer")"
    return
  fi
  silent=0
  words=$(sed -n 's/^state: [^ ]* //p' <<< "$answer" | sort -u | tr '\n' ' ')
  case " $words" in
    *" stopped "*) say "the job was stopped by hand: ending the watch, the slice stays" && exit 0 ;;
    *" leaving "*) [ "${seen:-}" == leaving ] || say "a host is told that it ends soon: waiting" && seen=leaving ;;
    *" failed "*) again_after_failure ;;
    " running ") follow ;;
    " finished ") finish ;;
    " finished running ") ;;
    *" new "*) begin "a host is new: installing, and starting the job" install ;;
    *" running "*) begin "a host has lost its job: starting it anew" stop ;;
    *" idle "* | *" interrupted "*) begin "no job is running: starting it" ;;
    *) silent=$before && silence "the hosts answer '${words% }', which says nothing" ;;
  esac
}

begin() { # why, commands before
  # shellcheck disable=SC2034 # of tpus; a job that is stopped has ten minutes to save
  local command patience=(timeout 900)
  spend "$1"
  for command in "${@:2}" run; do
    case $command in
      install) self install --extras="$(extras_of_command)" \
        ${option[url]:+--url="${option[url]}"} ${option[revision]:+--revision="${option[revision]}"} ;;
      run) self run --accelerator="${option[accelerator]}" -- "${rest[@]}" ;;
      stop) on_workers all "$(worker stop interrupted)" ;;
    esac || { silence "$command did not work on all hosts" && return; }
  done
  since=$SECONDS
}

# What the hosts need of the package: with --workdir=gs://... also what reads buckets.
extras_of_command() {
  local extras=${option[extras]:-tpu}
  [[ " ${rest[*]}" != *=gs://* || ,$extras, == *,gcs,* ]] || extras+=,gcs
  echo "$extras"
}

again_after_failure() {
  ((SECONDS - since < 1800)) || failed=0 # it had worked for half an hour
  failed=$((failed + 1))
  on_workers 0 "$(worker tail)" >&2 || true
  ((failed < failures)) || fail "the job failed $failed times in a row; the slice stays: look with logs, or delete it"
  begin "the job failed (time $failed of $failures in a row): starting it again" stop
}

follow() {
  local line
  line=$(on_workers 0 "$(worker last)" 2> /dev/null) || return 0
  [ "$line" == "${seen:-}" ] || say "$(last_line "$line")"
  seen=$line
}

finish() {
  say "the job is finished"
  if [ "${option[keep]:-}" ]; then
    say "the slice stays: --keep"
  else
    say "deleting the slice"
    self delete || { silence "it could not be deleted" && return; }
  fi
  exit 0
}

spend() { # why
  spent=$((spent + 1))
  ((spent <= attempts)) || fail "not done after $attempts attempts; what is there stays: look with status"
  say "$1 (attempt $spent of $attempts)"
}

# What does not answer is asked again, more and more slowly, up to ten times; a host is dead by then.
silence() { # what
  silent=$((silent + 1))
  say "$1 (time $silent of 10)"
  if ((silent >= 10)); then
    [[ $told == ACTIVE ]] || fail "ten times in a row: $1"
    say "its host counts as dead: deleting the slice"
    self delete || fail "the slice could not be deleted"
    silent=0
  fi
  sleep $((poll * silent / 2))
}

slice_state() {
  local answer
  if answer=$(tpus queued-resources describe "${option[name]}" --format="value(state.state)" 2>&1); then
    last_line "${answer:-NONE}"
  elif [[ $answer == *NOT_FOUND* ]]; then
    echo NONE
  else
    echo "UNKNOWN: $(last_line "$answer")"
  fi
}

state_of_host() {
  echo "if [ -x seedance-jax/.venv/bin/python ]; then $(worker state); else echo state: \$(hostname) new; fi"
}

self() { # command, options
  bash "$0" "$1" --name="${option[name]}" --zone="${option[zone]}" \
    ${option[project]:+--project="${option[project]}"} --slices="${option[slices]:-1}" "${@:2}"
}

last_line() {
  echo "${1##*$'\n'}"
}

say() {
  echo "$(date +%H:%M:%S) $*"
}
