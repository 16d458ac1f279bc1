#!/bin/sh
# Installs the Debian packages that the named parts need, when they are missing:
#   setup.sh test     Docker Engine, iptables, BusyBox, HAProxy, BIND, Chromium, a C compiler for the race detector,
#                     npm and with it axe-core, which checks pages
#   setup.sh bench    nginx with its module for TCP, Caddy, HAProxy, wrk, h2load
# Services of packages for benchmarks are not started. Without root or apt it only says
# what is missing; what cannot run for it is skipped, and said again, later.
set -eu

# have NAME: is the program there, also in the places that only root has in PATH?
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# axe-core is kept in a cache; the version is what the tests are known to pass with.
axe_version=4.11.1
parts=$*
axe=${XDG_CACHE_HOME:-$HOME/.cache}/fairway/axe-core-$axe_version
fetch_axe() {
	case " $parts " in *" test "*) ;; *) return 0 ;; esac
	[ ! -e "$axe/axe.min.js" ] && have npm || return 0
	mkdir -p "$axe"
	(cd "$axe" && timeout 120 npm pack --silent "axe-core@$axe_version" >/dev/null &&
		tar xzf "axe-core-$axe_version.tgz" --strip-components=1 package/axe.min.js && rm -f "axe-core-$axe_version.tgz") ||
		echo "!!! axe-core $axe_version cannot be fetched; the checks of pages that need it will be skipped" >&2
}

missing=
want() { # want PROGRAM PACKAGE...
	have "$1" || { shift; missing="$missing $*"; }
}
for part in "$@"; do
	case $part in
	test)
		want dockerd docker.io
		want iptables iptables
		want haproxy haproxy
		want curl curl
		want named bind9
		want gtlsclient ngtcp2-client
		want busybox busybox-static
		want chromium chromium fonts-dejavu-core
		want certutil libnss3-tools
		want gcc gcc libc6-dev
		[ -e "$axe/axe.min.js" ] || want npm npm
		trap fetch_axe EXIT
		;;
	bench)
		want nginx nginx
		[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing="$missing libnginx-mod-stream"
		want caddy caddy
		want haproxy haproxy
		want wrk wrk
		want h2load nghttp2-client
		;;
	*)
		echo "setup.sh: unknown part $part" >&2
		exit 2
		;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
	echo "!!! missing Debian packages:$missing" >&2
	echo "!!! not installed, that takes root and apt; what needs them will be skipped" >&2
	exit 0
fi

# Debian starts what it installs. A web server that takes port 80 is nobody's wish
# here; an existing policy of the machine is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy; fetch_axe' EXIT
	trap 'exit 1' HUP INT TERM
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
install() {
	# shellcheck disable=SC2086 # a list of names
	timeout 600 apt-get install -y -q --no-install-recommends $missing
}
if ! install >/tmp/fairway-setup.$$ 2>&1; then
	# The lists may be old, or not be there at all.
	timeout 300 apt-get update -q >/dev/null || true
	if ! install >/tmp/fairway-setup.$$ 2>&1; then
		tail -n 20 /tmp/fairway-setup.$$ >&2
		echo "!!! could not install:$missing" >&2
	fi
fi
rm -f /tmp/fairway-setup.$$
