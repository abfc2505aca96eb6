#!/bin/sh
# Install the servers of `make test-connectors`, where they are missing (Debian; needs root or sudo).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
servers="${PENSTOCK_SERVERS:-$HOME/.cache/penstock/servers}"
mkdir -p "$servers"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

as_root_from_apt() {
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Apache Kafka, as jars from Maven Central; read by tests/servers/kafka.py.
command -v java >/dev/null || as_root_from_apt default-jre-headless
if [ ! -e "$servers/kafka/complete" ]; then
    command -v mvn >/dev/null || as_root_from_apt maven
    mvn -q -B -f "$here/kafka-pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$servers/kafka"
    touch "$servers/kafka/complete"
fi

# Apicurio Registry, which speaks Confluent's REST interface; read by tests/servers/schema_registry.py.
if [ ! -e "$servers/apicurio/complete" ]; then
    command -v mvn >/dev/null || as_root_from_apt maven
    rm -rf "$servers/apicurio"
    mkdir -p "$servers/apicurio"
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact=io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all \
        -DoutputDirectory="$servers/apicurio"
    tar -xzf "$servers"/apicurio/*.tar.gz -C "$servers/apicurio"
    rm "$servers"/apicurio/*.tar.gz
    touch "$servers/apicurio/complete"
fi
# Message brokers, as Debian has them; they are not to run by themselves. Read by tests/servers/*.py.
missing=""
for program in mosquitto redis-server nats-server rabbitmq-server; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing="$missing $program"
done
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || as_root_from_apt $missing
