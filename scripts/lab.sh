#!/bin/sh
# Builds the parts that take minutes, once, into a cache:
#   lab.sh                  all of them
#   lab.sh test             those of `make test`: a certificate authority with a DNS server, and
#                           a client of HTTP/2 that looks whether a server keeps to RFC 9113
#   lab.sh pebble           the former alone
#   lab.sh names            CoreDNS, for bench-names.sh
#   lab.sh run PART ARGS... one of them, and runs it
# FAIRWAY_LAB names another directory than the cache of this account.
set -eu
GO=${GO:-go}
lab=${FAIRWAY_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/fairway-lab}

# part NAME PACKAGE VERSION: a program out of a Go module.
part() {
	[ -x "$lab/$1-$3" ] && return
	echo "building $1 $3 (once; some minutes)"
	mkdir -p "$lab/new"
	GOBIN="$lab/new" timeout 900 "$GO" install "$2@$3"
	mv "$lab/new/$1" "$lab/$1-$3"
	ln -sf "$1-$3" "$lab/$1"
}

# consul: its go.mod has replacements, so it is built out of a module of its own.
# 1.14 is the last line under the MPL. One pseudo-version it asks for cannot be
# verified any more; the commit after it can.
consul() {
	version=v1.14.11
	[ -x "$lab/consul-$version" ] && return
	echo "building consul $version (once; some minutes)"
	mkdir -p "$lab/new/consul"
	(
		cd "$lab/new/consul"
		cat >go.mod <<-EOF
			module lab/consul
			go 1.25
			require github.com/hashicorp/consul $version
			replace github.com/envoyproxy/go-control-plane/xdsmatcher => github.com/envoyproxy/go-control-plane/xdsmatcher v0.0.0-20230524161521-aaaacbfbe53e
		EOF
		printf '//go:build tools\n\npackage tools\n\nimport _ "github.com/hashicorp/consul"\n' >tools.go
		timeout 1800 "$GO" build -mod=mod -trimpath -ldflags '-s -w' -o consul github.com/hashicorp/consul
	)
	mv "$lab/new/consul/consul" "$lab/consul-$version"
	ln -sf "consul-$version" "$lab/consul"
	rm -rf "$lab/new/consul"
}

pebble() {
	part pebble github.com/letsencrypt/pebble/v2/cmd/pebble v2.10.1
	part pebble-challtestsrv github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv v2.10.1
}

pebble
[ "${1:-}" != pebble ] || exit 0
part h2spec github.com/summerwind/h2spec/cmd/h2spec v2.2.1+incompatible
[ "${1:-}" != test ] || exit 0
if [ "${1:-}" = names ]; then # beside which DNS is measured
	part coredns github.com/coredns/coredns v1.15.0
	exit 0
fi
part golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0
consul
if [ "${1:-}" = run ]; then
	shift
	name=$1
	shift
	exec "$lab/$name" "$@"
fi
