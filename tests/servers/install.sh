#!/bin/sh
# Install the servers that the tests start, where they are missing (Debian; needs root or sudo).
set -eu

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

as_root_from_apt() {
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    as_root_from_apt postgresql-15
fi

# Azure Blob Storage, as Azurite imitates it; read by tests/servers/objects.py.
servers="${PENSTOCK_SERVERS:-$HOME/.cache/penstock/servers}"
if [ ! -e "$servers/node_modules/.bin/azurite-blob" ]; then
    command -v npm >/dev/null || as_root_from_apt nodejs npm
    npm install --no-audit --no-fund --prefix "$servers" azurite@3.35.0
fi

# The browser that looks at the dashboard: tests/dashboard.
if ! command -v chromium >/dev/null; then
    as_root_from_apt chromium fonts-dejavu-core
fi
