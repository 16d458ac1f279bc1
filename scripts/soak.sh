#!/bin/bash
# What takes hours, or a part that takes minutes to build: every test at its full
# length, fuzzing, all linters. It prints the figures that tests report as one table.
# Close everything else first.
set -u
cd "$(dirname "$0")/.." || exit 1
if [ "${1:-}" != with-docker ]; then
	scripts/setup.sh test
	exec scripts/dockerd.sh run "$0" with-docker
fi
. scripts/steps.sh
export FAIRWAY_SOAK=1 FAIRWAY_E2E_TIMEOUT=5h

step "the lab" scripts/lab.sh
step "a release, twice" scripts/release.sh verify
for way in binary image package; do
	step "the README, as it says: $way" scripts/dockerd.sh run scripts/readme.sh $way
done
step "golangci-lint" scripts/lab.sh run golangci-lint run ./...
step "tests at full length" tests unit -timeout 3h ./...
step "the race detector" tests race -race -short -timeout 1h ./...
step "the OpenAPI document" tests openapi -tags validator -run TestOpenAPI ./internal/admin
step "the program with HAProxy" with_haproxy
step "fuzzing" scripts/fuzz.sh
step "end to end: build" "$GO" test -tags e2e -c -o "$tmp/e2e.test" ./test/e2e
step "end to end" e2e e2e embedded
step "end to end, HAProxy" e2e e2e-haproxy haproxy -test.skip '^Test(Fleet|UI|Image|HAProxyImage)'
result
