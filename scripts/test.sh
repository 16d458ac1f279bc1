#!/bin/bash
# Everything that has to pass before a change lands, from a clean clone. Two things
# go on at once, because one waits where the other computes: the code (build, vet,
# staticcheck, tests under the race detector), and the end-to-end tests with a real
# Docker Engine. It ends with a list of what passed, what failed, what could not run
# on this machine, and what is left to `make soak`. Of a step that fails it shows the
# failing tests.
set -u
cd "$(dirname "$0")/.." || exit 1
if [ "${1:-}" != with-docker ]; then
	scripts/setup.sh test
	scripts/lab.sh test || true # what needs it is skipped, and named
	scripts/dockerd.sh run "$0" with-docker
	status=$?
	# Without an engine the tests that need one are skipped, and named.
	[ $status -eq 75 ] && exec "$0" with-docker
	exit $status
fi
. scripts/steps.sh

# Packages that compute in one goroutine, or whose tests only call what others test: with
# the race detector they take five times as long. `make soak` runs them with it.
plain='^fairway(/cmd/fairway|/internal/admin/ui(/.*)?|/internal/compile(/.*)?)?$'

# The tests of HAProxy's engine wait for most of their time: they run beside all others.
haproxy='^fairway/internal/engine/haproxy$'

# raced NAME ARGS...: tests under the race detector, which multiplies their time; so there is
# no second run without it, but for what cannot be tested with it.
raced() {
	race=-race
	if [ "$("$GO" env CGO_ENABLED)" != 1 ] || ! command -v "$("$GO" env CC)" >/dev/null; then
		echo "!!! the race detector needs cgo and a C compiler: the tests run without"
		echo "the race detector: no cgo or no C compiler" >>"$tmp/missing"
		race=
	fi
	local name=$1
	shift
	# Three packages at once, because tests wait as much as they compute. A program under
	# the race detector sleeps for a second before it ends, unless told.
	GORACE=atexit_sleep_ms=10 tests "$name" $race -p 3 -short -timeout 12m "$@"
}

unit() {
	raced unit $("$GO" list ./... | grep -Ev "$plain" | grep -Ev "$haproxy")
}

unit_plain() {
	tests plain -p 3 -short -timeout 12m $("$GO" list ./... | grep -E "$plain")
}

# What counts memory, and what is another under the race detector: the calls of sockets.
without_race() {
	tests memory -short -timeout 5m -run LittleMemory ./internal/engine/embedded &&
		tests sockets -short -timeout 5m ./internal/engine/embedded/http1
}

code() {
	step "build, static" make -s build
	checks &
	with_haproxies &
	step "tests, race detector" unit
	step "tests without it" without_race
	step "tests of one goroutine" unit_plain
	wait
}

checks() {
	step "go vet" "$GO" vet -tags e2e ./...
	step "gofumpt" formatted
	step "staticcheck" tool staticcheck -tags e2e ./...
}

with_haproxies() {
	step "tests of HAProxy's engine" raced haproxy-engine ./internal/engine/haproxy
	step "the program with HAProxy" with_haproxy
}

# Tests that bring Docker hosts of their own, or need none, run beside those that share one.
end_to_end() {
	step "end to end: build" "$GO" test -tags e2e -c -o "$tmp/e2e.test" ./test/e2e
	one_host &
	own_hosts
	wait
}

# With HAProxy those in which the engine matters most.
one_host() {
	step "end to end: containers" e2e containers embedded -test.skip "^Test($hosts|$pages)"
	step "end to end: HAProxy, containers" e2e haproxy-containers haproxy \
		-test.run '^Test(StopUnderLoad|RemoveUnderLoad|KillIsSurvived|BadLabelsCostNobodyElse|ComposeGroups|HealthcheckGates|FairwayInContainer|RestartWithoutEngine)$'
}

own_hosts() {
	step "end to end: Swarms and fleets" e2e hosts embedded -test.run "^Test($hosts)" -test.parallel 3
	step "end to end: HAProxy, Swarms" e2e haproxy-hosts haproxy -test.run '^Test(SwarmBook|SwarmDockerFlow.*|SwarmRolling)$' -test.parallel 3
	step "end to end: pages" e2e pages embedded -test.run "^Test($pages)"
}

end_to_end >"$tmp/end-to-end" 2>&1 &
code
wait
cat "$tmp/end-to-end"
result
