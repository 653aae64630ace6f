#!/usr/bin/env bash
# Moves 100,000 keys from Consul to etcd v3 while two programs write, and prints the session.
#
#   tools/servers.sh etcd consul && docs/move-a-store/record.sh [KEYS]
#
# It builds kvdb, and starts both servers in a temporary folder, at the ports 18500 and 12379 (and
# 18300, 18301 and 12380).
set -euo pipefail

keys=${1:-100000}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
servers=${KVDB_SERVERS:-$repository/.servers}
dir=$(mktemp -d)
cd "$dir"
jobs=()
trap 'kill "${jobs[@]}" 2>/dev/null || true; wait; rm -rf "$dir"' EXIT

# show prints a command and runs it as a person would.
show() {
	echo "\$ $1"
	bash -c "$1" 2>&1
}

# writer writes keys until the file stop exists.
writer() {
	touch "running.$1"
	local i=0
	while ! [ -e stop ]; do
		kvdb put "volumes/$(printf %06d $((RANDOM % keys)))" "writer $1, write $((++i))"
		kvdb put "writers/$1/$i" "new" && kvdb rm -f "writers/$1/$((i - 10))"
	done
	echo "$i" >"writes.$1"
	rm "running.$1"
}

go -C "$repository" build -o "$dir/kvdb" ./cmd/kvdb
export PATH=$dir:$PATH
ports='http = 18500, server = 18300, serf_lan = 18301, serf_wan = -1, dns = -1, grpc = -1'
"$servers/consul/consul" agent -server -bootstrap-expect=1 -bind=127.0.0.1 -data-dir=consul \
	-log-level=err -hcl="ports { $ports, grpc_tls = -1 }" >consul.log 2>&1 &
jobs+=($!)
"$servers/etcd/etcd" --data-dir=etcd --listen-client-urls=http://127.0.0.1:12379 \
	--advertise-client-urls=http://127.0.0.1:12379 --listen-peer-urls=http://127.0.0.1:12380 \
	--log-level=error >etcd.log 2>&1 &
jobs+=($!)
export KVDB_STORE=consul://127.0.0.1:18500/my/app
for store in "$KVDB_STORE" etcd://127.0.0.1:12379/my/app; do
	for _ in $(seq 60); do
		! kvdb -s "$store" ls >/dev/null 2>&1 || break
		sleep 1
	done
done
cat >stop-writers <<'END'
#!/bin/sh
# Stops the two programs that write, and waits until they have ended.
touch stop
while ls running.* >/dev/null 2>&1; do sleep 0.1; done
awk '{ n += $1 } END { print "two programs have stopped after", n, "rounds" }' writes.*
END
chmod +x stop-writers
awk -v n="$keys" 'BEGIN {
	for (i = 0; i < n; i++) printf "{\"key\":\"volumes/%06d\",\"value\":\"%0113d\"}\n", i, i
}' >keys.jsonl

show 'export KVDB_STORE=consul://127.0.0.1:18500/my/app'
show 'kvdb import keys.jsonl'
writer a &
jobs+=($!)
writer b &
jobs+=($!)
show 'kvdb copy --dry-run etcd://127.0.0.1:12379/my/app'
show 'cat stop-writers'
show 'kvdb copy --cutover-cmd ./stop-writers etcd://127.0.0.1:12379/my/app'
show 'kvdb digest'
show 'kvdb -s etcd://127.0.0.1:12379/my/app digest'
show 'kvdb diff -q etcd://127.0.0.1:12379/my/app && echo equal'
