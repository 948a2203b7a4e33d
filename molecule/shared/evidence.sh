#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs on a test host: what it, its Engine and its unhealthy containers say.
echo "== failed units"
systemctl --failed --no-legend --plain
echo "== journal of docker.service"
journalctl --unit docker --lines 40 --no-pager --output cat
command -v docker >/dev/null || { echo "Docker is not installed"; exit 0; }
echo "== docker ps -a"
docker ps --all --format 'table {{.Names}}\t{{.Status}}\t{{.Image}}'
{
  docker ps --quiet --filter health=unhealthy --filter health=starting
  docker ps --quiet --all --filter status=exited --filter status=restarting --filter status=created
} | sort -u | while read -r container; do
  docker inspect --format '== {{.Name}}: {{.State.Status}}, exit code {{.State.ExitCode}} {{.State.Error}}' "$container"
  docker inspect --format '{{with .State.Health}}{{range .Log}}probe: exit {{.ExitCode}}: {{.Output}}{{end}}{{end}}' "$container" |
    tail -n 3
  docker logs --tail 30 "$container" 2>&1
done
