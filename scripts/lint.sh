#!/bin/sh
# Runs golangci-lint as .golangci.yml says, at the pinned version; it is installed
# with Go's own means when missing. --install only does that.
set -eu

version=v2.15.0
GO=${GO:-go}
bin=$($GO env GOBIN)
[ -n "$bin" ] || bin=$($GO env GOPATH)/bin
lint=$bin/golangci-lint

if ! "$lint" version 2>/dev/null | grep -q "version ${version#v} "; then
	echo "installing golangci-lint $version (once; some minutes)"
	if ! timeout 900 "$GO" install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"; then
		echo "!!! golangci-lint $version could not be installed: nothing was linted" >&2
		exit 1
	fi
fi
[ "${1:-}" = --install ] && exit 0
exec "$lint" run ./...
