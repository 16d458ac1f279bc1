#!/bin/sh
# Everything there is to test, from a clean clone. Ends with a list of what passed,
# what failed and what could not run here; a skipped part is never a passed one.
set -u
cd "$(dirname "$0")/.." || exit 1
GO=${GO:-go}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
began=$(date +%s)
failed=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
note() { printf '%-8s %-44s %ss\n' "$1" "$2" "$3" >>"$tmp/summary"; }

# step NAME COMMAND...: status 75 means that it cannot run on this machine.
step() {
	name=$1
	shift
	say "$name"
	t=$(date +%s)
	"$@"
	status=$?
	t=$(($(date +%s) - t))
	case $status in
	0) note passed "$name" $t ;;
	75)
		note SKIPPED "$name" $t
		echo "$name: the whole part" >>"$tmp/skipped"
		;;
	*)
		note FAILED "$name" $t
		failed=1
		;;
	esac
}

# tests NAME ARGS...: go test, showing what matters and remembering what was skipped.
tests() {
	log=$tmp/$1.log
	shift
	"$GO" test -v "$@" >"$log" 2>&1
	status=$?
	if [ $status -ne 0 ]; then
		grep -vE '^(=== (RUN|PAUSE|CONT|NAME)|--- PASS|ok  |PASS$|\? )' "$log"
	fi
	grep -E '^(ok|FAIL)\s' "$log"
	awk '/^ *--- SKIP: / && !/seed#/ { print $3 ": " before } { before = $0; sub(/^ */, "", before) }' "$log" >>"$tmp/skipped"
	return $status
}

# The program as a whole, with HAProxy as its engine.
with_haproxy() {
	command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || return 75
	FAIRWAY_TEST_ENGINE=haproxy tests haproxy -count=1 -timeout 5m ./internal/app
}

# e2e ENGINE ARGS...: the end-to-end tests with an engine.
e2e() {
	FAIRWAY_E2E_ENGINE=$1
	export FAIRWAY_E2E_ENGINE
	shift
	# Figures are logged by the tests, so here everything is shown.
	scripts/dockerd.sh run timeout 2400 "$GO" test -tags e2e -count=1 -timeout 38m -v "$@" ./test/e2e/ >"$tmp/e2e.log" 2>&1 &
	pid=$!
	tail -f --pid=$pid "$tmp/e2e.log" | grep --line-buffered -vE '^=== (RUN|PAUSE|CONT|NAME)'
	wait $pid
	status=$?
	awk '/^ *--- SKIP: / && !/seed#/ { print $3 ": " before } { before = $0; sub(/^ */, "", before) }' "$tmp/e2e.log" >>"$tmp/skipped"
	return $status
}

race() {
	if [ "$("$GO" env CGO_ENABLED)" != 1 ] || ! command -v "$("$GO" env CC)" >/dev/null; then
		echo "!!! the race detector needs cgo and a C compiler"
		return 75
	fi
	tests race -race -short -timeout 10m ./internal/...
}

step "install what is missing" scripts/setup.sh test
step "build, static" make -s build
step "go vet" "$GO" vet -tags e2e ./...
step "linters" scripts/lint.sh
step "unit tests" tests unit -count=1 -timeout 10m ./...
step "the program with HAProxy" with_haproxy
step "race detector" race
step "end to end, real Docker" e2e embedded
# With HAProxy those in which the engine matters most.
step "end to end, HAProxy" e2e haproxy -run "^Test($(echo StopUnderLoad RemoveUnderLoad KillIsSurvived BadLabelsCostNobodyElse \
	ComposeGroups HealthcheckGates FairwayInContainer RestartWithoutEngine SwarmBook SwarmDockerFlow.* SwarmRolling | tr ' ' '|'))\$"

say "result after $(($(date +%s) - began)) s"
cat "$tmp/summary"
if [ -s "$tmp/skipped" ]; then
	printf '\n\033[1;33m!!! NOT RUN ON THIS MACHINE:\033[0m\n'
	sort -u "$tmp/skipped" | sed 's/^/!!!   /'
fi
[ $failed -eq 0 ] || printf '\n\033[1;31mFAILED\033[0m\n'
exit $failed
