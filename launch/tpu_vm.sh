#!/usr/bin/env bash
# Runs a command on all hosts of a Cloud TPU slice, or of several.
#
#   bash launch/tpu_vm.sh COMMAND --name=NAME --zone=ZONE [--project=PROJECT] [--slices=N] [--dry-run] ...
#
#   create --accelerator=v5p-128 [--spot | --reserved] [--service-account=EMAIL] [--runtime=VERSION]
#          [-- --network=...]              asks for the slice; after -- flags of gcloud
#   install [--extras=tpu,gcs] [--url=URL [--revision=REVISION]]
#                                          the last commit here, or a clone, on every host; gcs
#                                          reads buckets, and watch adds it where a job names one
#   run --accelerator=v5p-128 -- train --config=configs/pretrain.py:base --workdir=...
#                                          in the background; it outlives the connection
#   logs | stop | status | delete          stop lets the run save; logs follows the first host
#   watch --accelerator=... [--spot ...] [--attempts=50] [--failures=3] [--poll=30] [--keep]
#         [--create-flags="--network=..."] -- train --workdir=gs://... ...
#                                          all of it, and again when the slice is preempted or a
#                                          host dies, until the job is finished; then it deletes the
#                                          slice (--keep: leaves it)
#
# The work directory and the data have to be where all hosts see them: a bucket, gs://..., or a file
# system that they mount.
# --slices=2, of every command, is two slices of that type in one request, NAME-0 and NAME-1, which
# come and go together. --dry-run prints the commands and runs none.
set -euo pipefail
# shellcheck source=launch/shell.sh
. "$(dirname "$0")/shell.sh"
. "$repository/launch/environment.sh"
# shellcheck source=launch/watch.sh
. "$repository/launch/watch.sh"

patience=() # a command before gcloud: timeout, where somebody has to go on without an answer

tpus() { # resource, verb, arguments
  run "${patience[@]}" gcloud compute tpus "${@:1:3}" --zone="${option[zone]}" \
    ${option[project]:+--project="${option[project]}"} "${@:4}"
}

# Several slices are reached by their request, whose nodes they are.
reach() { # ssh or scp, workers (all, or 0: the first host), arguments
  local kind=tpu-vm nodes=()
  ((slices == 1)) || kind=queued-resources nodes=(--node="$2")
  tpus "$kind" "$1" --worker="$2" "${nodes[@]}" "${@:3}"
}

on_workers() { # workers, command line
  reach ssh "$1" "${option[name]}" --command="$2" "${@:3}"
}

worker() { # a command line for launch/worker.sh
  quoted bash seedance-jax/launch/worker.sh "$@"
}

create() {
  need accelerator
  local type=${option[accelerator]} of_type nodes=(--node-id="${option[name]}")
  ((slices == 1)) || nodes=(--node-count="$slices" --node-prefix="${option[name]}")
  [ ! "${option[spot]:-}" ] || [ ! "${option[reserved]:-}" ] || fail "--spot and --reserved exclude each other"
  of_type=$(of_accelerator_type "$type")
  [[ $type != tpu7x-* ]] || echo "note: Google's documentation offers tpu7x through GKE: launch/gke" >&2
  tpus queued-resources create "${option[name]}" "${nodes[@]}" \
    --accelerator-type="$type" --runtime-version="${option[runtime]:-${of_type#* }}" \
    ${option[spot]:+--spot} ${option[reserved]:+--reserved} \
    ${option[service-account]:+--service-account="${option[service-account]}"} "${rest[@]}"
}

install() {
  if [ "${option[url]:-}" ]; then
    clone
  else
    copy
  fi
  on_workers all "$(worker install "${option[extras]:-tpu}")"
}

copy() {
  local archive=${TMPDIR:-/tmp}/seedance-jax.tar.gz
  git -C "$repository" diff --quiet HEAD || echo "note: changes that are not committed stay here" >&2
  run git -C "$repository" archive --prefix=seedance-jax/ --output="$archive" HEAD
  reach scp all "$archive" "${option[name]}:seedance-jax.tar.gz"
  # Files that are no longer in the repository must not linger; data, runs and .venv stay.
  on_workers all "cd && rm -rf seedance-jax/{seedance_jax,configs,launch} && tar -xzf seedance-jax.tar.gz"
}

clone() {
  local url revision
  url=$(quoted "${option[url]}") revision=$(quoted "${option[revision]:-HEAD}")
  on_workers all "{ [ -d seedance-jax/.git ] || git clone --quiet $url seedance-jax; } && \
cd seedance-jax && git fetch --quiet $url $revision && git checkout --quiet --detach FETCH_HEAD"
}

start() {
  need accelerator
  local of_type
  check_command
  of_type=$(of_accelerator_type "${option[accelerator]}")
  on_workers all "$(worker idle)" # no host may start if one of them cannot
  on_workers all "$(worker start "${of_type% *}" "${rest[@]}")"
}

command=${1:-} asked="accelerator= spot reserved service-account= runtime="
case $command in
  create) more=$asked ;;
  install) more="extras= url= revision=" ;;
  run) more="accelerator=" ;;
  watch) more="$asked create-flags= extras= url= revision= attempts= failures= poll= keep" ;;
  logs | stop | status | delete) more="" ;;
  *) fail "no command '$command'; legal: create install run logs stop status delete watch" ;;
esac
read_options "name= zone= project= slices= dry-run $more" "${@:2}"
need name zone
slices=${option[slices]:-1}
[[ $slices =~ ^[1-9][0-9]*$ ]] || fail "--slices=$slices; legal: 1, 2, ..."
[[ $command =~ ^(create|run|watch)$ || ${#rest[@]} == 0 ]] || fail "$command takes nothing after --"

case $command in
  create | install | watch) "$command" ;;
  run) start ;;
  logs) on_workers 0 "$(worker logs)" -- -t ;;
  stop) on_workers all "$(worker stop)" ;;
  status)
    tpus queued-resources describe "${option[name]}" --format="value(state.state)"
    on_workers all "$(worker status)"
    ;;
  delete) tpus queued-resources delete "${option[name]}" --force --quiet ;;
esac
