#!/bin/bash
# Builds a release into dist/: for each architecture an archive to unpack below a
# prefix (binary and shell completions) and an SBOM in the CycloneDX form, and the
# checksums of all. The same commit gives the same bytes in any directory:
# `release.sh verify` builds twice, from two clones, and compares.
#   tar -C /usr/local --strip-components=1 -xzf fairway-VERSION-linux-amd64.tar.gz
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

if [ "${1:-}" = verify ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	for clone in one another/place; do
		git clone -q . "$work/$clone"
		VERSION=verify "$work/$clone/scripts/release.sh" >/dev/null
	done
	diff -r "$work/one/dist" "$work/another/place/dist"
	cat "$work/one/dist/SHA256SUMS"
	echo "both builds are the same"
	exit 0
fi

version=${VERSION:-$(git describe --tags --always --dirty)}
export SOURCE_DATE_EPOCH CGO_ENABLED=0 GOOS=linux GOFLAGS=
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
host=$("$GO" env GOHOSTARCH)
rm -rf dist
mkdir dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for arch in amd64 arm64; do
	GOARCH=$arch "$GO" build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version" -o "$work/$arch" ./cmd/fairway
done
GOARCH=$host "$GO" build -o "$work/fairway" ./cmd/fairway # completions come from a binary that runs here
for arch in amd64 arm64; do
	name=fairway-$version-linux-$arch
	tree=$work/$name
	install -D -m 755 "$work/$arch" "$tree/bin/fairway"
	for shell in bash:bash-completion/completions/fairway zsh:zsh/site-functions/_fairway fish:fish/vendor_completions.d/fairway.fish; do
		mkdir -p "$(dirname "$tree/share/${shell#*:}")"
		"$work/fairway" completion "${shell%%:*}" >"$tree/share/${shell#*:}"
	done
	chmod -R u=rwX,go=rX "$tree"
	tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "$name" | gzip -9n >"dist/$name.tar.gz"
	GOARCH=$host GOOS= "$GO" run $sbom bin -json -noserial -notimestamp -version "$version" -output "dist/$name.cdx.json" "$tree/bin/fairway"
done
(cd dist && sha256sum -- * >SHA256SUMS)
ls -l dist
