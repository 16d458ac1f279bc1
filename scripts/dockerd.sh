#!/bin/sh
# Runs a command with a Docker Engine:
#   dockerd.sh run COMMAND...
# An engine that answers (DOCKER_HOST or the local socket) is used as it is. When
# none does, dockerd is started, as root, and stopped again afterwards. When that
# is not possible, the exit status is 75 and the command has not run.
set -u

[ "${1:-}" = run ] || { echo "usage: dockerd.sh run COMMAND..." >&2; exit 2; }
shift

PATH="$PATH:/usr/sbin:/sbin"
answers() {
	case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
	unix://*) timeout 5 curl -fsS -o /dev/null --unix-socket "${DOCKER_HOST#unix://}" http://docker/_ping 2>/dev/null ;;
	*) timeout 5 docker version >/dev/null 2>&1 ;;
	esac
}
no() {
	echo "!!! no Docker Engine: $*" >&2
	exit 75
}

: "${DOCKER_HOST:=unix:///var/run/docker.sock}"
export DOCKER_HOST
answers && exec "$@"
[ "$DOCKER_HOST" = unix:///var/run/docker.sock ] || no "$DOCKER_HOST does not answer"
[ "$(id -u)" -eq 0 ] || no "none answers, and starting one takes root"
command -v dockerd >/dev/null || no "dockerd is not installed"

# A machine without an init system may have no cgroups mounted.
if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && ! mountpoint -q /sys/fs/cgroup/devices; then
	echo "mounting cgroups"
	mountpoint -q /sys/fs/cgroup || mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	for c in $(awk 'NR > 1 && $4 == 1 { print $1 }' /proc/cgroups); do
		mkdir -p "/sys/fs/cgroup/$c"
		mountpoint -q "/sys/fs/cgroup/$c" || mount -t cgroup -o "$c" "cgroup-$c" "/sys/fs/cgroup/$c" ||
			rmdir "/sys/fs/cgroup/$c"
	done
fi

# Some kernels speak only one of the two dialects of iptables.
shim=
if ! iptables -t nat -nL >/dev/null 2>&1 && iptables-legacy -t nat -nL >/dev/null 2>&1; then
	shim=$(mktemp -d)
	ln -s "$(command -v iptables-legacy)" "$shim/iptables"
	ln -s "$(command -v ip6tables-legacy)" "$shim/ip6tables"
	PATH="$shim:$PATH"
fi

log=$(mktemp)
echo "starting dockerd, log in $log"
setsid dockerd >"$log" 2>&1 </dev/null &
daemon=$!
stop() {
	kill "$daemon" 2>/dev/null
	wait "$daemon" 2>/dev/null
	echo "stopped the dockerd that was started here" 2>/dev/null
	rm -rf "$log" ${shim:+"$shim"}
}
trap stop EXIT
trap 'exit 130' HUP INT TERM
tries=0
until answers; do
	tries=$((tries + 1))
	if [ $tries -gt 120 ] || ! kill -0 "$daemon" 2>/dev/null; then
		tail -n 20 "$log" >&2
		no "dockerd did not come up"
	fi
	sleep 0.5
done
"$@"
