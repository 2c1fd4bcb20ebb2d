#!/usr/bin/env bash
# What a pod runs: entry.sh GENERATION COMMAND [--flag=value ...]. It becomes the command, so
# that the SIGTERM of an eviction reaches it; a training that it ends has failed for the JobSet, which
# starts all pods again.
set -euo pipefail
# shellcheck source=launch/shell.sh
. "$(dirname "$0")/../shell.sh"
cd "$repository"
. launch/environment.sh
tpu_environment "$1"
[ "$2" != train ] || set -- "$@" --stopped_status="$unfinished"
exec python -m seedance_jax "${@:2}"
