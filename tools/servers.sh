#!/usr/bin/env bash
# Builds the real servers that the tests run against, where they are missing.
#
#   tools/servers.sh [etcd] [etcd35] [zookeeper] [consul]      all of them without arguments
#
# The result is kept outside the repository, in ${XDG_CACHE_HOME:-~/.cache}/kvdb-servers/<name>-<version>-<key>, so that
# every clone on one machine shares it; the key is a digest of what it is built from. The tests look for
# ${KVDB_SERVERS:-<repository>/.servers}/<name>, which this script links there. It is safe to run twice at once, does
# nothing when all is there, and leaves no half-built server behind when it is interrupted.
#
# Needs: Go (etcd, etcd35, consul); apt-get and dpkg-deb without root, and Java to run it (zookeeper).
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
links=${KVDB_SERVERS:-$(dirname "$tools")/.servers}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kvdb-servers

zookeeper_version=3.8.0
zookeeper_packages=(
	zookeeper libzookeeper-java libslf4j-java libsnappy-java libdropwizard-metrics-java libcommons-cli-java
	libcommons-io-java libnetty-java libjackson2-annotations-java libjackson2-core-java libjackson2-databind-java
)

die() {
	echo "servers.sh: $*" >&2
	exit 1
}

# go_version MODULE NAME prints the version of a Go module that tools/NAME/go.mod pins, without the v.
go_version() {
	awk -v m="$1" '$1 == m && NF > 1 { print substr($2, 2) }' "$tools/$2/go.mod"
}

# key FILE... prints a short digest of the files and of the platform.
key() {
	{ cat "$@" && uname -sm; } | sha256sum | cut -c 1-12
}

# go_build NAME OUTPUT PACKAGE compiles one program of tools/NAME.
go_build() {
	GOWORK=off CGO_ENABLED=0 nice -n 19 go build -C "$tools/$1" -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' \
		-o "$2" "$3"
}

build_etcd() {
	go_build etcd "$1/etcd" go.etcd.io/etcd/server/v3
	go_build etcd "$1/etcdctl" go.etcd.io/etcd/etcdctl/v3
	go_build etcd "$1/etcdutl" go.etcd.io/etcd/etcdutl/v3
}

build_etcd35() {
	go_build etcd35 "$1/etcd" go.etcd.io/etcd/server/v3
}

build_consul() {
	echo "servers.sh: a first build of Consul downloads 2 GB and takes about 15 minutes on two cores" >&2
	go_build consul "$1/consul" github.com/hashicorp/consul
}

build_zookeeper() {
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		die "ZooKeeper comes from Debian packages: apt-get and dpkg-deb are needed"
	local offered
	if ! apt-cache show zookeeper >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
		apt-get update -q >&2
	fi
	offered=$(apt-cache show --no-all-versions zookeeper | awk '$1 == "Version:" { print $2 }')
	[ "${offered%%-*}" = "$zookeeper_version" ] ||
		die "this system's package of ZooKeeper is '${offered:-none}', the tests require $zookeeper_version"
	mkdir "$1/packages"
	(cd "$1/packages" && apt-get download -q -o APT::Sandbox::User=root "${zookeeper_packages[@]}" >&2)
	local package
	for package in "$1"/packages/*.deb; do
		dpkg-deb -x "$package" "$1"
	done
	rm -r "$1/packages"
}

# provide NAME VERSION KEY makes sure that the server is built and linked.
provide() {
	local name=$1 home=$cache/$1-$2-$3
	if [ ! -d "$home" ]; then
		exec 9>"$cache/$name.lock"
		flock 9
		if [ ! -d "$home" ]; then
			echo "servers.sh: building $name $2" >&2
			unfinished=$(mktemp -d "$cache/.$name.XXXXXX")
			"build_$name" "$unfinished"
			chmod 755 "$unfinished"
			mv -T "$unfinished" "$home"
			unfinished=
		fi
		exec 9>&-
	fi
	if [ "$(readlink "$links/$name" || true)" != "$home" ]; then
		ln -s "$home" "$links/.$name.$$"
		mv -T "$links/.$name.$$" "$links/$name"
	fi
	echo "$name $2: $links/$name"
}

unfinished=
trap 'if [ -n "$unfinished" ]; then rm -rf "$unfinished"; fi' EXIT
mkdir -p "$cache" "$links"
[ $# -gt 0 ] || set -- etcd etcd35 zookeeper consul
for name; do
	case $name in
	etcd | etcd35)
		provide "$name" "$(go_version go.etcd.io/etcd/server/v3 "$name")" "$(key "$tools/$name"/go.{mod,sum})"
		;;
	consul)
		provide "$name" "$(go_version github.com/hashicorp/consul "$name")" "$(key "$tools/$name"/go.{mod,sum})"
		;;
	zookeeper)
		provide "$name" "$zookeeper_version" "$(printf '%s\n' "${zookeeper_packages[@]}" | key -)"
		;;
	*)
		die "unknown server '$name': etcd, etcd35, zookeeper or consul"
		;;
	esac
done
