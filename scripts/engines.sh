#!/usr/bin/env bash
# Starts and stops real engines on loopback, without containers: `npm run engines -- up|down|status [name…]`.
# Names: kafka cassandra mysql redis (all of them if none is given). Data and programs are kept in ./.engines
# (or $PARLEY_ENGINES_DIRECTORY); what is missing comes from Maven and, as root, from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
directory=${PARLEY_ENGINES_DIRECTORY:-$PWD/.engines}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
command=${1:?up, down or status}
shift
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(kafka cassandra mysql redis)

KAFKA=org.apache.kafka:kafka_2.13:4.1.1
CASSANDRA=org.apache.cassandra:cassandra-all:5.0.6
READY_TRIES_MAX=240 # quarters of a second

port_of() {
  case $1 in
    kafka) echo 19092 ;;
    cassandra) echo 19042 ;;
    mysql) echo 13306 ;;
    redis) echo 16379 ;;
    *) echo "there is no engine called $1" >&2 && exit 2 ;;
  esac
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$(port_of "$1")") 2>/dev/null; }

start() { # start NAME COMMAND...: runs it apart from this shell, and waits until it takes connections
  local name=$1
  shift
  setsid "$@" >"$directory/$name.log" 2>&1 </dev/null &
  echo $! >"$directory/$name.pid"
  for _ in $(seq $READY_TRIES_MAX); do
    if answers "$name"; then return; fi
    kill -0 "$(cat "$directory/$name.pid")" 2>/dev/null || break
    sleep 0.25
  done
  echo "$name did not start; the end of $directory/$name.log:" >&2
  tail -5 "$directory/$name.log" >&2
  return 1
}

jars() { # jars NAME GROUP:ARTIFACT:VERSION: the artifact and what it needs, from Maven
  local lib=$directory/$1-lib group artifact version
  [ -e "$lib/.complete" ] && return
  IFS=: read -r group artifact version <<<"$2"
  mkdir -p "$lib"
  cat >"$lib/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>engines</groupId><artifactId>engines</artifactId><version>1</version><dependencies><dependency>
<groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency></dependencies></project>
POM
  mvn -q -B -f "$lib/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib"
  touch "$lib/.complete"
}

package() { # package NAME PROGRAM: Debian's package, unless the program is there
  command -v "$2" >/dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null 2>&1
}

up_kafka() {
  jars kafka $KAFKA
  local lib=$directory/kafka-lib data=$directory/kafka-data
  cat >"$directory/kafka.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:19093
listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093
advertised.listeners=PLAINTEXT://127.0.0.1:19092
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
  if [ ! -e "$data/meta.properties" ]; then
    local id
    id=$(java -cp "$lib/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
    java -cp "$lib/*" kafka.tools.StorageTool format -t "$id" -c "$directory/kafka.properties" >/dev/null 2>&1
  fi
  start kafka java -Xms256m -Xmx512m -cp "$lib/*" kafka.Kafka "$directory/kafka.properties"
}

up_cassandra() {
  jars cassandra $CASSANDRA
  local data=$directory/cassandra-data name options=()
  mkdir -p "$data"
  # commitlog_sync: with the default, periodic, a killed node loses what it acknowledged in the last moments.
  cat >"$directory/cassandra.yaml" <<YAML
cluster_name: parley
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
auto_snapshot: false
commitlog_sync: group
commitlog_sync_group_window: 2ms
data_file_directories: [$data/data]
commitlog_directory: $data/commitlog
saved_caches_directory: $data/saved
hints_directory: $data/hints
cdc_raw_directory: $data/cdc
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: 19042
storage_port: 17000
ssl_storage_port: 17001
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:17000"}]
YAML
  cat >"$directory/cassandra-logback.xml" <<'XML'
<configuration><appender name="S" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%-5level %d{HH:mm:ss} %msg%n</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="S"/></root></configuration>
XML
  for name in java.lang java.lang.module java.io java.net java.nio java.util java.util.concurrent \
    java.util.concurrent.atomic jdk.internal.loader jdk.internal.math jdk.internal.module jdk.internal.ref \
    jdk.internal.reflect jdk.internal.util.jar sun.nio.ch; do
    options+=(--add-opens "java.base/$name=ALL-UNNAMED")
  done
  for name in java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch \
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server \
    java.rmi/sun.rmi.transport.tcp java.sql/java.sql; do
    options+=(--add-exports "$name=ALL-UNNAMED")
  done
  start cassandra java "${options[@]}" --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED \
    -Djdk.attach.allowAttachSelf=true -Xms512m -Xmx1g -Xss1m \
    -Dcassandra.storagedir="$data" -Dcassandra.config="file://$directory/cassandra.yaml" \
    -Dlogback.configurationFile="$directory/cassandra-logback.xml" -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.initial_token=0 \
    -Dcassandra.superuser_setup_delay_ms=0 \
    -cp "$directory/cassandra-lib/*" org.apache.cassandra.service.CassandraDaemon
}

up_mysql() {
  package mariadb-server mariadbd
  local data=$directory/mysql-data
  if [ ! -d "$data/mysql" ]; then
    mkdir -p "$data"
    mariadb-install-db --no-defaults --datadir="$data" --user="$(id -un)" \
      --auth-root-authentication-method=normal >"$directory/mysql-install.log" 2>&1
  fi
  start mysql mariadbd --no-defaults --user="$(id -un)" --datadir="$data" --port=13306 \
    --bind-address=127.0.0.1 --socket="$data/mysql.sock" --character-set-server=utf8mb4
}

up_redis() {
  package redis-server redis-server
  start redis redis-server --port 16379 --bind 127.0.0.1 --save '' --appendonly no --dir "$directory"
}

down() {
  local file=$directory/$1.pid
  [ -e "$file" ] || return 0
  local pid
  pid=$(cat "$file")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq $READY_TRIES_MAX); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.25
  done
  rm -f "$file"
  echo "$1 stopped"
}

for name in "${names[@]}"; do
  port_of "$name" >/dev/null
  case $command in
    up)
      answers "$name" || "up_$name"
      echo "$name is up on 127.0.0.1:$(port_of "$name")"
      ;;
    down) down "$name" ;;
    status) answers "$name" && echo "$name is up" || echo "$name is down" ;;
    *) echo "up, down or status" >&2 && exit 2 ;;
  esac
done
