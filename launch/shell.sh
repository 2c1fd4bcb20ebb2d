# shellcheck shell=bash
# What the launchers share. Sourced by them; needs bash 5.1.

# Exit status of a training that a signal ended, saved: tells who started it that it is to go on.
# shellcheck disable=SC2034
unfinished=75

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "error: $*" >&2
  exit 1
}

# Words as one line that a shell reads back as the same words.
quoted() {
  local word line=""
  for word; do
    [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  echo "${line:1}"
}

# Runs a command; with --dry-run it prints it instead.
run() {
  if [ "${option[dry-run]:-}" ]; then quoted "$@"; else "$@"; fi
}

# Reads `--name=value` and `--switch` into the associative array `option`, and what follows `--` into
# the array `rest`. The first argument lists the legal names; those with a value end in `=`.
read_options() {
  local legal=" $1" name value
  shift
  declare -gA option=()
  rest=()
  while (($#)); do
    case $1 in
      --) rest=("${@:2}") && return ;;
      --*=*) name=${1%%=*}= value=${1#*=} ;;
      *) name=$1 value=1 ;;
    esac
    [[ "$legal " == *" ${name#--} "* && $name == --* ]] || fail "no option $1; legal:${legal// / --}"
    [ "$value" ] || fail "$1 is empty"
    name=${name#--}
    option[${name%=}]=$value
    shift
  done
}

need() {
  local name
  for name; do [ "${option[$name]:-}" ] || fail "--$name=... is missing"; done
}

# Checks the command in `rest`, `COMMAND --flag=value...`, before it costs accelerator time.
check_command() {
  local entry=${rest[0]:-} names word path
  names=$(cd "$repository/seedance_jax/commands" && grep -l '^def main' ./*.py | tr -d '\n')
  names=${names//.py/} # "./train./sample"
  [[ $names/ == *"./$entry./"* || $names == *"./$entry" ]] ||
    fail "no command '$entry'; write -- COMMAND --flags, legal:${names//.\// }"
  for word in "${rest[@]}"; do
    [[ $word == --config=* ]] || continue
    path=${word#--config=} && path=${path%:*}
    [ -f "$repository/$path" ] || fail "$word: no such file; legal:" "$(cd "$repository" && echo configs/*.py)"
  done
}

# Disks go with the slice, or with the pod, so what a command in `rest` writes must be elsewhere.
check_place() {
  local word needed="" legal="gs://..., or a path that all hosts mount"
  case ${rest[0]} in
    train | evaluate) needed=workdir ;;
    sample | merge | measure | release) needed=output ;;
    build_data | encode | score) needed=config.data.data_dir ;;
  esac
  [[ ! $needed || " ${rest[*]}" == *" --$needed="* ]] || fail "--$needed=... is missing, where it writes: $legal"
  for word in "${rest[@]:1}"; do
    case $word in
      --workdir=[!/]* | --output=[!/]* | --config.data.data_dir=[!/]*)
        [[ ${word#*=} == gs://* ]] || fail "$word is on the disk of a host, which goes with its slice or pod; legal: $legal"
        ;;
      --*) ;;
      *) fail "'$word' is no flag; write --flag=value in one word" ;;
    esac
  done
}
