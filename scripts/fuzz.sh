#!/bin/sh
# Runs every fuzz target there is, one after the other, each for FUZZTIME.
set -eu
GO=${GO:-go}
failed=0 count=0
for file in $(grep -rl --include='*_test.go' '^func Fuzz' internal cmd 2>/dev/null); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		count=$((count + 1))
		echo "== ${file%/*} $target"
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "./${file%/*}" || failed=$((failed + 1))
	done
done
echo "$count fuzz targets, $failed failed"
[ $failed -eq 0 ] && [ $count -gt 0 ]
