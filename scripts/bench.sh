#!/bin/sh
# Every measurement there is, one after the other. Close everything else first:
# the figures are worth what the machine is quiet.
set -u
cd "$(dirname "$0")/.." || exit 1
GO=${GO:-go}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
failed=0
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

CGO_ENABLED=0 "$GO" build -trimpath -ldflags '-s -w' -o "$tmp/fairway" ./cmd/fairway || exit 1
"$GO" build -o "$tmp/measure" ./bench/measure || exit 1

say "route lookup; one label changed at 5,000 services"
"$GO" test -run '^$' -bench . -benchtime "${BENCHTIME:-2s}" -count "${COUNT:-3}" ./bench/ || failed=1
say "one container recreated at 5,000 services, the whole program"
"$tmp/measure" change -fairway "$tmp/fairway" || failed=1
say "memory at 10,000 services of 3 containers"
"$tmp/measure" memory -fairway "$tmp/fairway" || failed=1
say "CPU time per proxied request, side by side"
"$tmp/measure" requests -fairway "$tmp/fairway" || failed=1
say "other requests: bodies, TLS, HTTP/2"
"$tmp/measure" requests -fairway "$tmp/fairway" -routes 1 -proxies fairway,fairway-haproxy,haproxy-equal,nginx \
	-shapes post-4k,64k,1m,100m,tls,tls-new,tls-1m,h2 || failed=1
say "latency at a fixed rate, idle connections, bytes of other protocols"
for what in latency idle bytes; do
	"$tmp/measure" $what -fairway "$tmp/fairway" -proxies fairway,fairway-haproxy,haproxy,nginx || failed=1
done
exit $failed
