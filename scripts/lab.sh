#!/bin/sh
# Builds the parts that take minutes, once, into a cache:
#   lab.sh                  all of them
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

part golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0
if [ "${1:-}" = run ]; then
	shift
	name=$1
	shift
	exec "$lab/$name" "$@"
fi
