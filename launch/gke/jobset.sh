#!/usr/bin/env bash
# Runs a command on a TPU slice, or on several, of a GKE cluster, the one that kubectl talks to.
#
#   bash launch/gke/jobset.sh apply --name=NAME --accelerator=v5e --topology=16x16 --image=IMAGE
#       --claim=CLAIM [--nodes=N] [--chips-per-node=N] [--slices=N] [--restarts=N]
#       [--service-account=NAME] [--dry-run] -- train --config=configs/pretrain.py:base --workdir=/shared/runs/base
#   bash launch/gke/jobset.sh logs | status | delete --name=NAME [--dry-run]
#
# CLAIM is a PersistentVolumeClaim that all pods may write (Filestore, Lustre); /shared is its place.
# `apply --dry-run` prints the manifest. `delete` sends SIGTERM, so the run saves.
set -euo pipefail
# shellcheck source=launch/shell.sh
. "$(dirname "$0")/../shell.sh"
. "$repository/launch/environment.sh"

# Topologies that exist: https://cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus
check_topology() { # generation, topology
  local flat="1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16" small="2x2x1 2x2x2 2x2x4 2x4x4" legal a b c
  case $1 in
    v5e | v6e) [[ " $flat " == *" $2 "* ]] || fail "no topology '$2' of $1; legal: $flat" ;;
    *)
      [ "$1" != tpu7x ] || small="1x1x1 $small"
      [[ " $small " != *" $2 "* ]] || return 0
      legal="$small, and AxBxC with A <= B <= C, all multiples of 4"
      [[ $2 =~ ^[1-9][0-9]*(x[1-9][0-9]*){2}$ ]] || fail "no topology '$2' of $1; legal: $legal"
      IFS=x read -r a b c <<< "$2"
      ((a <= b && b <= c && a % 4 + b % 4 + c % 4 == 0)) || fail "no topology '$2' of $1; legal: $legal"
      ;;
  esac
}

# A host has four chips. Slices of one chip are a host of their own, and GKE also has hosts with all
# eight chips of a 2x4 of v5e or v6e (machines ct5lp-hightpu-8t and ct6e-standard-8t).
chips_per_node() { # generation, topology, chips
  local legal=4 chosen=${option[chips-per-node]:-}
  (($3 > 1)) || legal=1
  [[ $2 != 2x4 ]] || legal="4 8"
  chosen=${chosen:-${legal%% *}}
  [[ " $legal " == *" $chosen "* ]] || fail "--chips-per-node=$chosen for $1 $2; legal: $legal"
  echo "$chosen"
}

# Kubernetes' names, and YAML that means the words themselves.
check_name() {
  [[ $1 =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
    fail "--name=$1; legal: up to 40 of a-z, 0-9 and -, from a letter to a letter or digit"
}

yaml() {
  printf "'%s'" "${1//\'/\'\'}"
}

yaml_list() {
  local word separator=""
  for word; do
    printf '%s' "$separator" && yaml "$word"
    separator=", "
  done
}

manifest() {
  local -A value=([name]=${option[name]} [restarts]=${option[restarts]:-10} [slices]=${option[slices]:-1})
  local generation=${option[accelerator]} total text key
  check_generation "$generation"
  check_topology "$generation" "${option[topology]}"
  [[ ${value[restarts]} =~ ^[0-9]+$ ]] || fail "--restarts=${value[restarts]}; legal: 0, 1, ..."
  [[ ${value[slices]} =~ ^[1-9][0-9]*$ ]] || fail "--slices=${value[slices]}; legal: 1, 2, ..."
  total=$((${option[topology]//x/*}))
  value[chips]=$(chips_per_node "$generation" "${option[topology]}" "$total") || exit 1
  value[nodes]=$((total / value[chips]))
  [[ ${option[nodes]:-${value[nodes]}} == "${value[nodes]}" ]] ||
    fail "--nodes=${option[nodes]}: ${option[topology]} is $total chips, ${value[chips]} a node; legal: ${value[nodes]}"
  value[accelerator]=$(gke_accelerator "$generation")
  value[topology]=$(yaml "${option[topology]}") # 1x1 would do as it is; quotes never hurt
  value[image]=$(yaml "${option[image]}") value[claim]=$(yaml "${option[claim]}")
  value[service_account]=$(yaml "${option[service-account]:-default}")
  text=$(< "$repository/launch/gke/jobset.yaml")
  for key in "${!value[@]}"; do text=${text//"\${$key}"/"${value[$key]}"}; done
  # Last, as the user's words may look like a place to fill; $$ is Kubernetes' way to write a $.
  echo "${text//"\${arguments}"/"$(yaml_list "$generation" "${rest[@]//\$/\$\$}")"}"
}

apply() {
  need accelerator topology image claim
  check_command
  check_place
  local text
  text=$(manifest)
  if [ "${option[dry-run]:-}" ]; then echo "$text"; else kubectl apply -f - <<< "$text"; fi
}

command=${1:-}
case $command in
  apply) more="accelerator= topology= image= claim= nodes= chips-per-node= slices= restarts= service-account=" ;;
  logs | status | delete) more="" ;;
  *) fail "no command '$command'; legal: apply logs status delete" ;;
esac
read_options "name= dry-run $more" "${@:2}"
need name
check_name "${option[name]}"
selector=--selector=jobset.sigs.k8s.io/jobset-name=${option[name]}

case $command in
  apply) apply ;;
  logs) run kubectl logs --follow --tail=100 "$selector,jobset.sigs.k8s.io/job-index=0,batch.kubernetes.io/job-completion-index=0" ;;
  status) run kubectl get jobset,pods "$selector" --output=wide ;;
  delete) run kubectl delete jobset "${option[name]}" ;;
esac
