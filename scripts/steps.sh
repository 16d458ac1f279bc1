# What test.sh and soak.sh have in common; sourced by both. A step is one command
# with a name; its output is shown when it fails.

GO=${GO:-go}
root=$PWD
tmp=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
began=$(date +%s)

# hosts are the end-to-end tests that bring Docker hosts of their own.
hosts='Swarm|Fleet|NodeKilled|PlanOfAStack|Image|HAProxyImage'

# pages are those that need no container of the shared host.
pages='UISituations|UIHostilePages|Padlock'

# step NAME COMMAND...: status 75 means that it cannot run on this machine.
step() {
	local name=$1 log t status
	shift
	log=$(mktemp "$tmp/step.XXXXXX")
	t=$(date +%s)
	"$@" >"$log" 2>&1
	status=$?
	t=$(($(date +%s) - t))
	case $status in
	0) status=passed ;;
	75)
		status=SKIPPED
		echo "$name: the whole step" >>"$tmp/missing"
		;;
	*)
		status=FAILED
		touch "$tmp/failed"
		;;
	esac
	printf '%-8s %-40s %5ss\n' $status "$name" $t | tee -a "$tmp/summary"
	# The end has the failing tests; thousands of lines help nobody.
	[ $status = passed ] || tail -n 400 "$log" | cut -c1-1000
}

# tool NAME ARGS...: a tool of tools.mod.
tool() { "$GO" tool -modfile="$root/tools.mod" "$@"; }

formatted() {
	local files
	files=$(git ls-files -z -- '*.go' | xargs -0 "$GO" tool -modfile="$root/tools.mod" gofumpt -l)
	[ -z "$files" ] || { echo "gofumpt would change:" && echo "$files" && return 1; }
}

# tests NAME ARGS...: go test, of which the failing tests are shown. Vet has its own
# step, and the binaries need no debug information.
tests() {
	local name=$1
	shift
	tool gotestsum --format pkgname --hide-summary=skipped --jsonfile "$tmp/$name.json" -- -count=1 -vet=off -ldflags=-w "$@"
}

# The program as a whole, with HAProxy as its engine.
with_haproxy() {
	PATH="$PATH:/usr/sbin" command -v haproxy >/dev/null || return 75
	FAIRWAY_TEST_ENGINE=haproxy tests haproxy -timeout 10m ./internal/app
}

# e2e NAME ENGINE ARGS...: end-to-end tests of $tmp/e2e.test with an engine.
e2e() {
	local name=$1 engine=$2
	shift 2
	[ -x "$tmp/e2e.test" ] || return 1
	(
		cd test/e2e && export FAIRWAY_E2E_ENGINE=$engine &&
			tool gotestsum --format testname --hide-summary=skipped --jsonfile "$tmp/$name.json" --raw-command -- \
				"$GO" tool test2json -t -p e2e "$tmp/e2e.test" -test.v=test2json -test.timeout "${FAIRWAY_E2E_TIMEOUT:-15m}" "$@"
	)
}

# result prints the summary and ends the script.
result() {
	printf '\n== result after %s s\n' $(($(date +%s) - began))
	cat "$tmp/summary"
	# Of a test that is skipped, the line before it says why.
	cat "$tmp"/*.json 2>/dev/null | grep -E '"Action":"(output|skip)"' | grep -v '/seed#' |
		sed -n 's/.*"Action":"output".*"Test":"\([^"]*\)".*"Output":" *[a-z0-9_]*\.go:[0-9]*: \(.*\)\\n".*/\1: \2/p; s/.*"Action":"skip".*"Test":"\([^"]*\)".*/SKIP \1/p' |
		awk '$1 == "SKIP" { if (why[$2] != "") print $2 ": " why[$2]; next } { test = $1; sub(/:$/, "", test); sub(/^[^ ]* /, ""); why[test] = $0 }' | sort -u >"$tmp/skips"
	grep -v ': left to make soak$' "$tmp/skips" >>"$tmp/missing"
	if grep -q ': left to make soak$' "$tmp/skips"; then
		printf '\nleft to make soak: long forms, fuzzing, golangci-lint, and\n'
		sed -n 's/: left to make soak$//p' "$tmp/skips" | paste -sd' ' | fold -sw 100 | sed 's/^/  /'
	fi
	if [ -s "$tmp/missing" ]; then
		printf '\n!!! NOT RUN ON THIS MACHINE:\n'
		sort -u "$tmp/missing" | sed 's/^/!!!   /'
	fi
	if cat "$tmp"/*.json 2>/dev/null | grep -q 'FIGURE '; then
		printf '\nfigures\n'
		cat "$tmp"/*.json | sed -n 's/.*"Output":".*FIGURE \(.*\)\\n".*/\1/p' | sed 's/: /\t/' | sort -u | expand -t 60 | sed 's/^/  /'
	fi
	if [ -e "$tmp/failed" ]; then
		printf '\nFAILED\n'
		exit 1
	fi
	printf '\npassed\n'
	exit 0
}
