#!/usr/bin/env bash
# The service script: sets everything up at first use, then starts, stops and asks the gateway. See usage() below.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${S3GW_VENV:-$project/.venv}
export S3GW_HOME=${S3GW_HOME:-$project}
log=$S3GW_HOME/logs/s3gw.out
pid_file=$S3GW_HOME/logs/s3gw.pid
options_file=$S3GW_HOME/logs/s3gw.options
start_seconds=${S3GW_START_SECONDS:-60}
stop_seconds=${S3GW_STOP_SECONDS:-120}

usage() {
    cat <<'TEXT'
usage: scripts/s3gw.sh COMMAND [OPTIONS]

  start [--conf FILE] [--listen ADDRESS:PORT] [--region REGION] [--workers N] [--log LEVEL]
              start in the background; at the very first start a key is made and shown
  stop        end it; requests in flight finish first
  restart     stop and start, with the options of the last start unless others are given
  status      exit code 0: it runs, 3: it does not
  serve       run in the foreground; options as for start
  test        set up what the tests need and run them all, with coverage;
              with arguments: pass them to pytest, without coverage
  anything else is passed on to the s3gw command: credential, keys, lifecycle, config, doctor, fsck, operations, ...
              credential env, ping and doctor ask the gateway as it was started, unless they are told another address

environment:
  S3GW_HOME   where logs/s3gw.out and conf/gateway.toml are (default: the project)
  S3GW_VENV   the Python environment (default: .venv in the project)
  S3GW_NO_SETUP=1           use that environment as it is
  S3GW_START_SECONDS=60     how long start waits for an answer
  S3GW_STOP_SECONDS=120     how long stop waits for the end
TEXT
}

fail() {
    echo "s3gw: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13 python3.14 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-9]*/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed. On Debian and Ubuntu: apt-get install python3 python3-venv"
}

make_venv() {
    local python
    [[ -x $venv/bin/python ]] && return
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"
    echo "s3gw: making the Python environment $venv" >&2
    "$python" -m venv "$venv"
}

# Installs exactly what a lock file names, and the project itself, unless that was done already.
install_lock() {
    local lock=$project/$1 stamp=$venv/.installed-$1 wanted
    wanted=$(cat "$lock" "$project/pyproject.toml" | sha256sum)
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
    make_venv
    echo "s3gw: installing $1" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps --only-binary :all: --requirement "$lock" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --no-index --no-deps --no-build-isolation --editable "$project" >&2
    echo "$wanted" >"$stamp"
}

set_up() {
    [[ ${S3GW_NO_SETUP:-} ]] && return
    mkdir -p "$(dirname "$venv")"
    (
        flock 9 # two first uses at once: the second waits
        install_lock "$1"
    ) 9>"$venv.lock"
}

s3gw() {
    "$venv/bin/s3gw" "$@"
}

# What tells a process from a later one with the same number: its start time. Nothing for a dead one or a zombie.
birth_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    read -ra stat <<<"${stat##*) }" # the name may hold anything, so count from behind it
    [[ ${stat[0]} == Z ]] || echo "${stat[19]}"
}

running_pid() {
    local pid birth
    read -r pid birth 2>/dev/null <"$pid_file" || return 1
    [[ -n $birth && $(birth_of "$pid") == "$birth" ]] || return 1
    echo "$pid"
}

start() {
    local pid option ping=()
    if pid=$(running_pid); then
        echo "s3gw is running already (process $pid)"
        return
    fi
    for option in "$@"; do
        case $option in -h | --help) exec "$venv/bin/s3gw" serve --help ;; esac
    done
    ping_options "$@"
    s3gw config check ${ping[@]+"${ping[@]}"} >/dev/null
    if s3gw ping ${ping[@]+"${ping[@]}"} >/dev/null 2>&1; then
        fail "something else answers already: $(s3gw ping ${ping[@]+"${ping[@]}"}); choose another port with --listen"
    fi
    s3gw credential ensure ${ping[@]+"${ping[@]}"}
    launch "$@"
    await_answer
}

# The options that say where the gateway answers, out of those of start.
ping_options() {
    while (($#)); do
        case $1 in
            --conf | -c | --listen) ping+=("$1" "${2:-}") && shift ;;
            --conf=* | --listen=*) ping+=("$1") ;;
        esac
        shift
    done
}

launch() {
    mkdir -p "$S3GW_HOME/logs"
    printf '%s\0' "$@" >"$options_file"
    echo "--- s3gw start $(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$log"
    log_lines=$(wc -l <"$log")
    nohup setsid "$venv/bin/s3gw" serve "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(birth_of "$pid")" >"$pid_file"
}

await_answer() {
    local deadline=$((SECONDS + start_seconds))
    while ((SECONDS < deadline)); do
        if [[ -z $(birth_of "$pid") ]]; then
            rm -f "$pid_file"
            last_lines
            fail "it did not start; the whole log is $log"
        fi
        if s3gw ping --wait 1 ${ping[@]+"${ping[@]}"} >/dev/null 2>&1; then
            echo "s3gw runs (process $pid), its log is $log"
            return
        fi
    done
    last_lines
    fail "it does not answer after $start_seconds s; process $pid is left running, the log is $log"
}

last_lines() {
    tail -n "+$((log_lines + 1))" "$log" | tail -n 20 >&2
}

stop() {
    local pid deadline=$((SECONDS + stop_seconds))
    if ! pid=$(running_pid); then
        rm -f "$pid_file"
        echo "s3gw does not run"
        return
    fi
    kill -TERM "$pid"
    while running_pid >/dev/null; do
        ((SECONDS < deadline)) || fail "process $pid still finishes requests after $stop_seconds s"
        sleep 0.1
    done
    rm -f "$pid_file"
    echo "s3gw stopped"
}

status() {
    local pid
    if pid=$(running_pid); then
        echo "s3gw runs (process $pid)"
    else
        echo "s3gw does not run"
        return 3
    fi
}

restart() {
    local options=("$@")
    if ((!$#)) && [[ -s $options_file ]]; then
        mapfile -d '' -t options <"$options_file"
    fi
    stop
    start ${options[@]+"${options[@]}"}
}

# The commands that ask where the gateway is get the options of the last start, unless they have their own.
pass_on() {
    local ping=() started=()
    ping_options "$@"
    case "$1 ${2:-}" in
        'credential env' | 'ping '* | 'doctor '*)
            if ((!${#ping[@]})) && [[ -s $options_file ]]; then
                mapfile -d '' -t started <"$options_file"
                ping_options ${started[@]+"${started[@]}"}
                set -- "$@" ${ping[@]+"${ping[@]}"}
            fi
            ;;
    esac
    exec "$venv/bin/s3gw" "$@"
}

run_tests() {
    cd "$project"
    if (($#)); then
        exec "$venv/bin/python" -m pytest -n auto "$@"
    fi
    exec "$venv/bin/python" -m pytest -n auto --cov --cov-report=term-missing:skip-covered
}

main() {
    local command=${1:-}
    (($# == 0)) || shift
    case $command in
        '' | help | -h | --help) usage ;;
        stop | status) "$command" ;;
        start | restart)
            set_up requirements.lock # not joined with &&, which would switch off set -e inside
            "$command" "$@"
            ;;
        test)
            set_up requirements-dev.lock
            run_tests "$@"
            ;;
        *)
            set_up requirements.lock
            pass_on "$command" "$@"
            ;;
    esac
}

main "$@"
