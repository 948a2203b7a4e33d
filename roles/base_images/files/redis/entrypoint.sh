#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Starts redis-server. `docker run IMAGE --appendonly yes` and `docker run IMAGE /etc/redis.conf` mean redis-server too.
set -eu

case "${1-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1-}" != redis-server ]; then
    exec "$@"
fi

shift
case "${1-}" in
    # Questions about the program itself: nothing is served.
    -v | --version | -h | --help | --test-memory | --check-system) exec redis-server "$@" ;;
esac

# Protected mode refuses every client from another container. Who can reach the port is the network's decision here.
# A protected-mode line in a configuration file, or as a later argument, is obeyed.
case "${1-}" in
    '' | -*) exec redis-server --protected-mode no "$@" ;;
esac

configuration=$1
if grep -Eqi '^[[:space:]]*protected-mode[[:space:]]' "$configuration"; then
    exec redis-server "$@"
fi
shift
exec redis-server "$configuration" --protected-mode no "$@"
