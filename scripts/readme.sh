#!/bin/bash
# Installs Fairway as the README says, with the commands that stand there, and leaves
# nothing behind:
#   readme.sh binary|image|package
# It takes root, a Docker Engine, and the ports 80 and 8080. It fails when a command fails,
# when curl gets no 200, or when a way has more than five commands.
set -euo pipefail
set -m # what runs in the background is a process group, and ends with the script
cd "$(dirname "$0")/.."

case ${1:-} in
binary) heading='### As a binary' ;;
image) heading='### As an image' ;;
package) heading='### As a Debian package' ;;
*) sed -n '2,4p' "$0" >&2; exit 2 ;;
esac
# The commands are the block under the heading.
commands=$(awk -v heading="$heading" '$0 == heading { there = 1; next } there && /^```/ { if (inside) exit; inside = 1; next } inside' README.md)
number=$(grep -c . <<<"$commands")
[ "$number" -ge 1 ] && [ "$number" -le 5 ] || { echo "$heading has $number commands" >&2; exit 1; }

state=$(mktemp -d)
export FAIRWAY_STATE_DIR=$state
before=$(docker ps -aq | sort)
cleanup() {
	trap - EXIT
	for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
	comm -13 <(echo "$before") <(docker ps -aq | sort) | xargs -r docker rm -fv >/dev/null
	docker network rm deploy_default >/dev/null 2>&1 || true
	docker volume rm deploy_state >/dev/null 2>&1 || true
	[ "$heading" != '### As a Debian package' ] || apt-get purge -y -q fairway >/dev/null
	rm -rf "$state"
}
trap cleanup EXIT

# A machine without systemd or sudo, or with an older Compose, does what they would.
sudo() { "$@"; }
docker() {
	if [ "${1:-}" = compose ] && ! command docker compose version >/dev/null 2>&1; then
		shift
		docker-compose "$@"
	else
		command docker "$@"
	fi
}
apt() {
	[ "$1" = install ] && shift
	command apt-get install -y -q "$@" >/dev/null
	[ -d /run/systemd/system ] || $(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/fairway.service) &
}
# What was started a moment ago may not listen yet.
curl() { command curl -sS -o /dev/null --fail --retry 30 --retry-delay 1 --retry-all-errors -w '%{http_code} in %{time_total} s\n' "$@"; }

while IFS= read -r line; do
	echo "\$ $line"
	if [[ $line == curl* ]]; then eval "$line"; else eval "$line" >"$state/out" 2>&1 || { cat "$state/out" >&2; exit 1; }; fi
done <<<"$commands"
echo "$heading: $number commands, both answered"
