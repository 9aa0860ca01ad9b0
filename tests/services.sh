#!/bin/bash
# The services of AiiDA's production form, on localhost, for the tests: PostgreSQL, RabbitMQ, an SSH server, SLURM.
#
#   services.sh start [NAME ..]     install what is missing (Debian packages, as root), start, say where; again: 'running'
#   services.sh stop [NAME ..]      stop          services.sh restart NAME ..   stop and start
#   services.sh kill NAME ..        kill -9, for crash tests
#   services.sh status              what is up    services.sh env               settings for the tests, as shell code
#   services.sh alarm | calm        let RabbitMQ take its disk for full, and publishers wait; and no more
#   services.sh purge               stop everything and remove its folder
#
# NAME: postgres rabbitmq sshd slurm (default: what is started is postgres and rabbitmq, what is stopped is all). A
# further service is a function up_NAME, start_NAME, stop_NAME, kill_NAME, its packages in PACKAGES, its port in PORT and
# its name in ALL. Everything (data, sockets, keys, logs, pids) lives below $FINALES_SERVICES_DIR and is bound to
# 127.0.0.1 on ports of its own; nothing in /etc or ~ is changed, and Debian's own clusters and daemons are neither used
# nor started. No systemd is needed. As a plain user it works once the packages are there.
# Other ports: PG_PORT, AMQP_PORT, DIST_PORT, EPMD_PORT, SSH_PORT, CTLD_PORT, SLURMD_PORT.
set -euo pipefail
export LC_ALL=C.UTF-8
DIR=${FINALES_SERVICES_DIR:-${TMPDIR:-/tmp}/finales-services-$(id -u)}
: "${PG_PORT:=15442}" "${AMQP_PORT:=15683}" "${DIST_PORT:=15684}" "${EPMD_PORT:=14379}"
: "${SSH_PORT:=10032}" "${CTLD_PORT:=16827}" "${SLURMD_PORT:=16828}"
declare -A PACKAGES=([postgres]=postgresql [rabbitmq]=rabbitmq-server)
PACKAGES+=([sshd]="openssh-server openssh-client" [slurm]="slurm-wlm munge")
ALL="postgres rabbitmq sshd slurm"
STARTED="postgres rabbitmq"

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
  local missing="" name package made=""
  for name in "$@"; do
    for package in ${PACKAGES[$name]}; do
      dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=" $package"
    done
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
  dpkg --configure -a >>"$DIR/apt.log" 2>&1 || true   # an installation that was cut off blocks every other one
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
limit_rabbitmq() { rmq rabbitmqctl -q set_disk_free_limit "$1"; }
kill_rabbitmq() { kill -9 "$(pid_of "$RMQ/pid")"; rm -f "$RMQ/pid"; }

# --- an SSH server: own keys, open to the account that started it and to its own key only
SSH=$DIR/ssh
SSH_HOST=finales-localhost
up_sshd() { is_alive "$SSH/sshd.pid" && is_open "$SSH_PORT"; }
start_sshd() {
  [ -x /usr/sbin/sshd ] || die "no sshd"
  mkdir -p "$SSH/home/.ssh"; chmod 700 "$SSH" "$SSH/home" "$SSH/home/.ssh"
  ! is_root || mkdir -p /run/sshd   # demanded by sshd, whatever its settings
  local key
  for key in host_key user_key; do
    [ -s "$SSH/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "finales $key" -f "$SSH/$key"
  done
  cp "$SSH/user_key.pub" "$SSH/authorized_keys"
  echo "[127.0.0.1]:$SSH_PORT $(cut -d' ' -f1,2 "$SSH/host_key.pub")" >"$SSH/home/.ssh/known_hosts"
  # sessions do not inherit the environment, and AiiDA finds SLURM by it; StrictModes would look at the folders above
  cat >"$SSH/sshd_config" <<END
Port $SSH_PORT
ListenAddress 127.0.0.1
HostKey $SSH/host_key
PidFile $SSH/sshd.pid
AuthorizedKeysFile $SSH/authorized_keys
AllowUsers $(id -un)
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
SetEnv SLURM_CONF=$SLURM/slurm.conf
END
  # for clients that find ~/.ssh by HOME
  cat >"$SSH/home/.ssh/config" <<END
Host $SSH_HOST
  HostName 127.0.0.1
  Port $SSH_PORT
  User $(id -un)
  IdentityFile $SSH/user_key
  IdentitiesOnly yes
  UserKnownHostsFile $SSH/home/.ssh/known_hosts
  StrictHostKeyChecking yes
END
  chmod 600 "$SSH/authorized_keys" "$SSH/home/.ssh/config"
  /usr/sbin/sshd -f "$SSH/sshd_config" -E "$SSH/sshd.log" || { cat "$SSH/sshd.log" >&2; die "sshd did not start"; }
  wait_for 10 ssh -F "$SSH/home/.ssh/config" -o BatchMode=yes "$SSH_HOST" true ||
    { tail "$SSH/sshd.log" >&2; die "sshd does not answer"; }
}
# the sessions too, which otherwise outlive their server
end_sshd() {
  is_alive "$SSH/sshd.pid" || { rm -f "$SSH/sshd.pid"; return 0; }
  local pid sessions; pid=$(pid_of "$SSH/sshd.pid")
  sessions=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
  # shellcheck disable=SC2086
  kill "-$1" "$pid" $sessions 2>/dev/null || true
  wait_for 10 is_gone "$SSH/sshd.pid" || die "sshd, process $pid, does not end"
  rm -f "$SSH/sshd.pid"
}
is_gone() { ! is_alive "$1"; }
stop_sshd() { end_sshd TERM; }
kill_sshd() { end_sshd KILL; }

# --- SLURM: one node, without cgroups and without a database for the accounting
SLURM=$DIR/slurm
has_node() { SLURM_CONF=$SLURM/slurm.conf sinfo -h -o %T 2>/dev/null | grep -Eq '^(idle|mixed|allocated|completing)'; }
up_slurm() { is_alive "$SLURM/slurmctld.pid" && is_alive "$SLURM/slurmd.pid" && is_alive "$SLURM/munged.pid" && has_node; }
start_slurm() {
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null || die "no SLURM"
  mkdir -p "$SLURM/state" "$SLURM/spool"
  write_slurm_settings
  [ -s "$SLURM/munge.key" ] || { (umask 077; head -c 1024 /dev/urandom >"$SLURM/munge.key"); chmod 400 "$SLURM/munge.key"; }
  # --force: it would not keep its files in a folder that others can reach
  is_alive "$SLURM/munged.pid" ||
    munged --force --key-file="$SLURM/munge.key" --socket="$SLURM/munge.socket" --pid-file="$SLURM/munged.pid" \
      --log-file="$SLURM/munged.log" --seed-file="$SLURM/munged.seed" 2>"$SLURM/munged.err" ||
    { cat "$SLURM/munged.err" >&2; die "munged did not start"; }
  wait_for 10 munge -n --socket="$SLURM/munge.socket" || die "munged does not answer"
  is_alive "$SLURM/slurmctld.pid" || slurmctld -f "$SLURM/slurm.conf" || die "slurmctld did not start"
  is_alive "$SLURM/slurmd.pid" || slurmd -f "$SLURM/slurm.conf" -N localhost || die "slurmd did not start"
  wait_for 40 has_node || { tail -n 5 "$SLURM/slurmctld.log" "$SLURM/slurmd.log" >&2; die "the node of SLURM is not idle"; }
}
write_slurm_settings() {
  cat >"$SLURM/slurm.conf" <<END
ClusterName=finales
SlurmctldHost=localhost
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$SLURM/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=$CTLD_PORT
SlurmdPort=$SLURMD_PORT
SlurmctldPidFile=$SLURM/slurmctld.pid
SlurmdPidFile=$SLURM/slurmd.pid
SlurmctldLogFile=$SLURM/slurmctld.log
SlurmdLogFile=$SLURM/slurmd.log
StateSaveLocation=$SLURM/state
SlurmdSpoolDir=$SLURM/spool
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=5
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}
end_process() {
  ! is_alive "$1" || kill "$(pid_of "$1")" 2>/dev/null || true
  wait_for 15 is_gone "$1" || kill -9 "$(pid_of "$1")"
  rm -f "$1"
}
stop_slurm() {
  ! is_alive "$SLURM/slurmctld.pid" || SLURM_CONF=$SLURM/slurm.conf scancel -u "$(id -un)" 2>/dev/null || true
  local name; for name in slurmd slurmctld munged; do end_process "$SLURM/$name.pid"; done
}
# the controller only: what runs goes on
kill_slurm() { kill -9 "$(pid_of "$SLURM/slurmctld.pid")"; rm -f "$SLURM/slurmctld.pid"; }

# --- commands
declare -A PORT=([postgres]=$PG_PORT [rabbitmq]=$AMQP_PORT [sshd]=$SSH_PORT [slurm]=$CTLD_PORT)
settings() {
  say "export FINALES_SERVICES_DIR=$DIR"
  say "export FINALES_TEST_PG_HOST=127.0.0.1 FINALES_TEST_PG_PORT=$PG_PORT FINALES_TEST_PG_USER=aiida FINALES_TEST_PG_PASSWORD=aiida"
  say "export FINALES_TEST_AMQP_HOST=127.0.0.1 FINALES_TEST_AMQP_PORT=$AMQP_PORT"
  say "export FINALES_TEST_SSH_HOST=$SSH_HOST FINALES_TEST_SSH_HOME=$SSH/home FINALES_TEST_SLURM_CONF=$SLURM/slurm.conf"
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
case $COMMAND in start | restart) NAMES=${*:-$STARTED} ;; *) NAMES=${*:-$ALL} ;; esac
for name in $NAMES; do case " $ALL " in *" $name "*) ;; *) die "unknown service $name (known: $ALL)" ;; esac; done
case $COMMAND in
  start)   mkdir -p "$DIR"; chmod 711 "$DIR"; install $NAMES; for name in $NAMES; do start "$name"; done ;;
  stop)    for name in $NAMES; do stop "$name"; done ;;
  restart) for name in $NAMES; do stop "$name"; start "$name"; done ;;
  kill)    [ $# -gt 0 ] || die "kill NAME"; for name in $NAMES; do "kill_$name"; say "$name killed"; done ;;
  status)  for name in $ALL; do if "up_$name"; then say "$name up on 127.0.0.1:${PORT[$name]}"; else say "$name down"; fi; done ;;
  alarm)   limit_rabbitmq 1000000000000000 ;;
  calm)    limit_rabbitmq 100000000 ;;
  env)     settings ;;
  purge)   [ ! -d "$DIR" ] || { for name in $ALL; do stop "$name"; done; rm -rf "$DIR"; say "removed $DIR"; } ;;
  *)       die "unknown command $COMMAND" ;;
esac
