#!/bin/bash
# The services of AiiDA's production form, on localhost, for the tests: PostgreSQL and RabbitMQ.
#
#   services.sh start [NAME ..]     install what is missing (Debian packages, as root), start, say where; again: 'running'
#   services.sh stop [NAME ..]      stop          services.sh restart NAME ..   stop and start
#   services.sh kill NAME ..        kill -9, for crash tests
#   services.sh status              what is up    services.sh env               settings for the tests, as shell code
#   services.sh purge               stop everything and remove its folder
#
# NAME: postgres rabbitmq (default: all). A further service is a function up_NAME, start_NAME, stop_NAME, kill_NAME, its
# packages in PACKAGES and its name in ALL. Everything (data, sockets, keys, logs, pids) lives below
# $FINALES_SERVICES_DIR and is bound to 127.0.0.1 on ports of its own; nothing in /etc or ~ is changed, and Debian's own
# clusters and daemons are neither used nor started. No systemd is needed. As a plain user it works once the packages
# are there. Other ports: PG_PORT, AMQP_PORT, DIST_PORT, EPMD_PORT.
set -euo pipefail
export LC_ALL=C.UTF-8
DIR=${FINALES_SERVICES_DIR:-${TMPDIR:-/tmp}/finales-services-$(id -u)}
: "${PG_PORT:=15442}" "${AMQP_PORT:=15683}" "${DIST_PORT:=15684}" "${EPMD_PORT:=14379}"
declare -A PACKAGES=([postgres]=postgresql [rabbitmq]=rabbitmq-server)
ALL="postgres rabbitmq"

say() { printf '%s\n' "$*"; }
die() { printf 'services.sh: %s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
# the account of a service, if we may switch to it: neither PostgreSQL nor RabbitMQ should run as root
owner() { if is_root; then echo "$1"; else id -un; fi; }
as() { local user=$1; shift; if is_root && [ "$user" != root ]; then runuser -u "$user" -- "$@"; else "$@"; fi; }
pid_of() { [ -s "$1" ] && head -n1 "$1" | tr -dc 0-9 || true; }
is_alive() {
  local pid; pid=$(pid_of "$1")
  [ -n "$pid" ] && [ -d "/proc/$pid" ] && ! grep -q '^State:.*[ZX] ' "/proc/$pid/status" 2>/dev/null
}
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
wait_for() { local n=$1; shift; for _ in $(seq $((n * 5))); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }

# --- packages: Debian would start its own daemons; a policy that is ours and only there meanwhile forbids it
install() {
  local missing="" name made=""
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "${PACKAGES[$name]}" 2>/dev/null | grep -q 'ok installed' || missing+=" ${PACKAGES[$name]}"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "missing packages:$missing (there is no apt-get here: install them by hand)"
  is_root || die "missing packages:$missing (run as root, or: sudo apt-get install$missing)"
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  local failed=""
  apt-get update -q >"$DIR/apt.log" 2>&1 || true   # an old list may still do
  # shellcheck disable=SC2086
  apt-get install -y -q --no-install-recommends $missing >>"$DIR/apt.log" 2>&1 || failed=1
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
  [ -z "$failed" ] || { tail -20 "$DIR/apt.log" >&2; die "apt-get install$missing failed"; }
  say "installed:$missing"
}

# --- PostgreSQL: a cluster of its own in C.UTF-8, which needs no generated locale
PG=$DIR/postgres
pg() { local program=$1; shift; as "$(owner postgres)" "$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)/$program" "$@"; }
sql() { pg psql -h "$PG" -p "$PG_PORT" -U postgres -qAtX -c "$1"; }
up_postgres() { is_alive "$PG/data/postmaster.pid" && is_open "$PG_PORT"; }
start_postgres() {
  ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || die "no PostgreSQL server"
  mkdir -p "$PG"; ! is_root || chown "$(owner postgres)" "$PG"; cd "$PG"
  if [ ! -s "$PG/data/PG_VERSION" ]; then
    pg initdb -D "$PG/data" -U postgres -E UTF8 --locale=C.UTF-8 -A trust --no-sync >"$DIR/initdb.log" 2>&1 ||
      { cat "$DIR/initdb.log" >&2; die "initdb failed"; }
    # trust on the socket, which only the account of the service can reach, and passwords on the port
    printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' |
      as "$(owner postgres)" tee "$PG/data/pg_hba.conf" >/dev/null
  fi
  local options="-p $PG_PORT -h 127.0.0.1 -k $PG -c fsync=${PG_FSYNC:-on} -c max_connections=200"
  pg pg_ctl -D "$PG/data" -l "$PG/server.log" -w -t 60 -o "$options" start >"$DIR/pg_ctl.log" 2>&1 ||
    { tail "$PG/server.log" >&2; die "PostgreSQL did not start"; }
  # createdb: the tests make throw-away databases
  [ "$(sql "select 1 from pg_roles where rolname='aiida'")" = 1 ] ||
    sql "create role aiida login createdb password 'aiida'"
}
stop_postgres() { ! is_alive "$PG/data/postmaster.pid" || { cd "$PG"; pg pg_ctl -D "$PG/data" -w -m fast stop >/dev/null; }; }
kill_postgres() { cd "$PG"; pg pg_ctl -D "$PG/data" -w -m immediate stop >/dev/null; }

# --- RabbitMQ: a node of its own, with its own epmd and cookie
RMQ=$DIR/rabbitmq
rmq() {
  local tool=$1; shift
  (cd "$RMQ" && as "$(owner rabbitmq)" env HOME="$RMQ" LC_ALL=C.UTF-8 RABBITMQ_NODENAME=finales@localhost \
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$AMQP_PORT" RABBITMQ_DIST_PORT="$DIST_PORT" \
    ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_CONFIG_FILE="$RMQ/rabbitmq" RABBITMQ_ADVANCED_CONFIG_FILE="$RMQ/advanced.config" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$RMQ/enabled_plugins" RABBITMQ_MNESIA_BASE="$RMQ/mnesia" \
    RABBITMQ_LOG_BASE="$RMQ/log" RABBITMQ_PID_FILE="$RMQ/pid" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    "/usr/lib/rabbitmq/bin/$tool" "$@")
}
up_rabbitmq() { is_alive "$RMQ/pid" && is_open "$AMQP_PORT"; }
start_rabbitmq() {
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || die "no rabbitmq-server"
  mkdir -p "$RMQ"; echo '[].' >"$RMQ/enabled_plugins"
  printf 'listeners.tcp.1 = 127.0.0.1:%s\ndisk_free_limit.absolute = 100MB\n' "$AMQP_PORT" >"$RMQ/rabbitmq.conf"
  # RabbitMQ >= 3.8.15 would close the channel of a worker that keeps a task for 30 minutes
  echo '[{rabbit, [{consumer_timeout, undefined}]}].' >"$RMQ/advanced.config"
  ! is_root || chown -R "$(owner rabbitmq)" "$RMQ"
  rm -f "$RMQ/pid"
  rmq rabbitmq-server -detached >"$DIR/rabbitmq.out" 2>&1 || { cat "$DIR/rabbitmq.out" >&2; die "RabbitMQ did not start"; }
  wait_for 60 test -s "$RMQ/pid" || die "RabbitMQ wrote no pid file: see $RMQ/log"
  rmq rabbitmqctl -q wait --pid "$(pid_of "$RMQ/pid")" --timeout 60 >>"$DIR/rabbitmq.out" 2>&1 ||
    { cat "$DIR/rabbitmq.out" >&2; die "RabbitMQ did not come up"; }
}
stop_rabbitmq() {
  ! is_alive "$RMQ/pid" || rmq rabbitmqctl -q shutdown >/dev/null 2>&1 || kill -9 "$(pid_of "$RMQ/pid")"
  rm -f "$RMQ/pid"
  local epmd=(/usr/lib/erlang/erts-*/bin/epmd)
  # epmd refuses while a node is registered
  ! is_open "$EPMD_PORT" || wait_for 5 "${epmd[0]}" -port "$EPMD_PORT" -kill || say "epmd stays on port $EPMD_PORT"
}
kill_rabbitmq() { kill -9 "$(pid_of "$RMQ/pid")"; rm -f "$RMQ/pid"; }

# --- commands
declare -A PORT=([postgres]=$PG_PORT [rabbitmq]=$AMQP_PORT)
settings() {
  say "export FINALES_SERVICES_DIR=$DIR"
  say "export FINALES_TEST_PG_HOST=127.0.0.1 FINALES_TEST_PG_PORT=$PG_PORT FINALES_TEST_PG_USER=aiida FINALES_TEST_PG_PASSWORD=aiida"
  say "export FINALES_TEST_AMQP_HOST=127.0.0.1 FINALES_TEST_AMQP_PORT=$AMQP_PORT"
}
start() {
  if "up_$1"; then say "$1 running on 127.0.0.1:${PORT[$1]}"; return; fi
  ! is_open "${PORT[$1]}" || die "port ${PORT[$1]} of $1 is taken by something else: choose others, see the first lines"
  "start_$1"
  say "$1 started on 127.0.0.1:${PORT[$1]}"
}
stop() { "stop_$1"; say "$1 stopped"; }

case $DIR in /*) ;; *) die "FINALES_SERVICES_DIR must be an absolute path" ;; esac
# one call at a time; -o: what is started must not keep the lock
[ -n "${FINALES_SERVICES_LOCKED:-}" ] || FINALES_SERVICES_LOCKED=1 exec flock -o "$DIR.lock" "$0" "$@"
COMMAND=${1:-start}; shift || true
NAMES=${*:-$ALL}
for name in $NAMES; do case " $ALL " in *" $name "*) ;; *) die "unknown service $name (known: $ALL)" ;; esac; done
case $COMMAND in
  start)   mkdir -p "$DIR"; chmod 711 "$DIR"; install $NAMES; for name in $NAMES; do start "$name"; done ;;
  stop)    for name in $NAMES; do stop "$name"; done ;;
  restart) for name in $NAMES; do stop "$name"; start "$name"; done ;;
  kill)    [ $# -gt 0 ] || die "kill NAME"; for name in $NAMES; do "kill_$name"; say "$name killed"; done ;;
  status)  for name in $ALL; do if "up_$name"; then say "$name up on 127.0.0.1:${PORT[$name]}"; else say "$name down"; fi; done ;;
  env)     settings ;;
  purge)   [ ! -d "$DIR" ] || { for name in $ALL; do stop "$name"; done; rm -rf "$DIR"; say "removed $DIR"; } ;;
  *)       die "unknown command $COMMAND" ;;
esac
