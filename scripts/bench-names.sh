#!/bin/sh
# DNS beside CoreDNS in one run: the same names, one core for the server, another for dnsperf.
#   bench-names.sh [RECORDS...]     1 and 100000 unless said; SECONDS_EACH=6, RATE=10000
# CoreDNS comes out of its Go module (lab.sh names), dnsperf of Debian.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
lab=${FAIRWAY_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/fairway-lab}
tmp=$(mktemp -d)
trap 'kill $(cat "$tmp"/*.pid 2>/dev/null) 2>/dev/null || :; rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
command -v dnsperf >/dev/null || { echo "dnsperf is missing: apt-get install dnsperf"; exit 1; }
[ -x "$lab/coredns" ] || scripts/lab.sh names
fairway=${FAIRWAY:-$tmp/fairway}
[ -x "$fairway" ] || CGO_ENABLED=0 "$GO" build -trimpath -ldflags '-s -w' -o "$fairway" ./cmd/fairway

# ticks PID: CPU time so far, in hundredths of a second.
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
rss() { awk '/VmRSS/ {printf "%d MiB", $2 / 1024}' "/proc/$1/status"; }

# run NAME PID: one load as fast as it goes, and one at RATE; the second with its latencies.
run() {
	before=$(ticks "$2")
	taskset -c 1 dnsperf -s 127.0.0.1 -p 5399 -d "$tmp/queries" -l "${SECONDS_EACH:-6}" -c 4 -q 200 -O suppress=timeout >"$tmp/fast"
	after=$(ticks "$2")
	done=$(awk '/Queries completed/ {print $3}' "$tmp/fast")
	lost=$(awk '/Queries lost/ {print $3}' "$tmp/fast")
	memory=$(rss "$2")
	taskset -c 1 dnsperf -s 127.0.0.1 -p 5399 -d "$tmp/queries" -l 4 -c 4 -q 200 -Q "${RATE:-10000}" -v -O suppress=timeout >"$tmp/slow"
	p99=$(awk '$1 == ">" {print $NF * 1000}' "$tmp/slow" | sort -n | awk '{v[NR] = $1} END {if (NR) printf "%.2f", v[int(NR * 0.99)]}')
	awk -v name="$1" -v n="$done" -v t="$((after - before))" -v lost="$lost" -v memory="$memory" -v p99="$p99" \
		'BEGIN {printf "%-8s %8d queries/CPU s  %6.1f us  %d lost  p99 %s ms  %s\n", name, n * 100 / t, t * 10000 / n, lost, p99, memory}'
}

# serve NAME COMMAND...: starts a server alone on its core, measures it, and ends it.
serve() {
	name=$1
	shift
	GOMAXPROCS=1 taskset -c 0 "$@" >"$tmp/$name.log" 2>&1 &
	echo $! >"$tmp/$name.pid"
	n=0
	until dnsperf -s 127.0.0.1 -p 5399 -d "$tmp/one" -n 1 -t 1 2>/dev/null | grep -q NOERROR; do
		n=$((n + 1))
		[ $n -lt 60 ] || { cat "$tmp/$name.log"; exit 1; }
		sleep 0.5
	done
	last=-100 # until what it does at the start is over
	until [ $(($(ticks "$(cat "$tmp/$name.pid")") - last)) -lt 20 ]; do
		last=$(ticks "$(cat "$tmp/$name.pid")")
		sleep 2
	done
	run "$name" "$(cat "$tmp/$name.pid")"
	kill "$(cat "$tmp/$name.pid")"
	wait "$(cat "$tmp/$name.pid")" 2>/dev/null || :
	rm "$tmp/$name.pid"
}

for records in ${*:-1 100000}; do
	echo "$records records"
	awk -v n="$records" -v dir="$tmp" 'BEGIN {
		names = int((n + 2) / 3)
		print "services:" > dir "/services.yml"
		for (i = 0; i < names; i++) {
			printf "  - name: s%d\n    instances:\n", i > dir "/services.yml"
			printf "s%d.docker. A\n", i > dir "/queries"
			for (r = 0; r < 3 && 3 * i + r < n; r++) {
				a = 3 * i + r
				ip = sprintf("10.%d.%d.%d", int(a / 62500), int(a / 250) % 250, a % 250 + 1)
				printf "      - address: %s:80\n", ip > dir "/services.yml"
				print ip " s" i ".docker" > dir "/hosts"
			}
		}
		print "s0.docker. A" > dir "/one"
	}'
	sort -R -o "$tmp/queries" "$tmp/queries"
	printf '.:5399 {\n  bind 127.0.0.1\n  hosts %s/hosts docker {\n    ttl 5\n  }\n}\n' "$tmp" >"$tmp/Corefile"
	serve coredns "$lab/coredns" -conf "$tmp/Corefile"
	serve fairway "$fairway" run --file "$tmp/services.yml" --dns.listen 127.0.0.1:5399 --dns.ttl 5s --admin.listen off --listen 127.0.0.1:5398 --state-dir "$tmp/state"
	rm -rf "$tmp/state"
done
