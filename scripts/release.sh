#!/bin/bash
# Builds a release into dist/: for each architecture an archive to unpack below a
# prefix (binary and shell completions), a Debian package with a systemd unit, and an
# SBOM in the CycloneDX form; and the checksums of all. The same commit gives the same
# bytes in any directory: `release.sh verify` builds twice, from two clones, and compares.
#   tar -C /usr/local --strip-components=1 -xzf fairway-VERSION-linux-amd64.tar.gz
#   apt install ./fairway_VERSION_amd64.deb
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

# deb ARCH: the package of what the archive has, in /usr, with the unit.
deb() {
	root=$work/deb-$1
	mkdir -p "$root"
	cp -r "$work/fairway-$version-linux-$1" "$root/usr"
	mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
	install -D -m 644 deploy/systemd/fairway.service "$root/usr/lib/systemd/system/fairway.service"
	install -D -m 644 LICENSE "$root/usr/share/doc/fairway/copyright"
	install -D -m 644 deploy/systemd/fairway.yml "$root/etc/fairway/fairway.yml"
	install -D -m 755 deploy/systemd/postinst "$root/DEBIAN/postinst"
	install -D -m 755 deploy/systemd/prerm "$root/DEBIAN/prerm"
	install -D -m 755 deploy/systemd/postrm "$root/DEBIAN/postrm"
	echo /etc/fairway/fairway.yml >"$root/DEBIAN/conffiles"
	cat >"$root/DEBIAN/control" <<-END
		Package: fairway
		Version: $debian
		Architecture: $1
		Maintainer: Fairway
		Section: net
		Priority: optional
		Depends: init-system-helpers
		Suggests: docker.io, haproxy
		Installed-Size: $(du -sk --apparent-size "$root/usr/bin" | cut -f 1)
		Description: routes requests to what runs on Docker
		 Fairway watches Docker hosts and Swarms, compiles labels into routes, and makes
		 them live in an embedded proxy or in HAProxy, with no failed request.
	END
	chmod -R u=rwX,go=rX "$root"
	dpkg-deb --root-owner-group -Zgzip --build "$root" "dist/fairway_${debian}_$1.deb" >/dev/null
}
# Versions of Debian begin with a digit and have no underscore.
debian=$(printf %s "${version#v}" | sed 's/^[^0-9]/0~&/; s/[^A-Za-z0-9.+~-]/-/g')
if command -v dpkg-deb >/dev/null; then
	deb amd64
	deb arm64
else
	echo "!!! no dpkg-deb here: no Debian packages" >&2
fi
(cd dist && sha256sum -- * >SHA256SUMS)
ls -l dist
