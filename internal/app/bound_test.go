package app

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// An address that is taken says what to type, and only where the address is one of ours.
func TestTakenAddressNamesTheFlag(t *testing.T) {
	c := &Config{Listen: ":80", ListenTLS: ":443", Admin: AdminConfig{Listen: "127.0.0.1:8080"}, Fleet: FleetConfig{Listen: "10.0.0.1:65535"}}
	c.DockerFlow.Proxy.Listen = "127.0.0.1:8081"
	failed := func(port int, why error) error {
		return fmt.Errorf("embedded: listener http: %w", &net.OpError{Op: "listen", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4zero, Port: port}, Err: why})
	}
	for _, tt := range []struct {
		err  error
		want string // after the error itself
	}{
		{failed(80, syscall.EADDRINUSE), "\nhint: stop what listens there (ss -ltnp 'sport = :80' shows it), or give another address: --listen :8000"},
		{failed(80, syscall.EACCES), "\nhint: start it as root or with the capability NET_BIND_SERVICE, or give another address: --listen :8000"},
		{failed(443, syscall.EADDRINUSE), "or give another address: --listen-tls :8443"},
		{failed(8080, syscall.EADDRINUSE), "\nhint: if another Fairway runs here, stop it; else see what listens there (ss -ltnp 'sport = :8080'), or give another address: --admin.listen 127.0.0.1:8082"},
		{failed(65535, syscall.EADDRINUSE), "--fleet.listen 10.0.0.1:8000"},
		{failed(5432, syscall.EADDRINUSE), ""},
		{errors.New("no"), ""},
	} {
		got := c.withFlag(tt.err)
		if !errors.Is(got, tt.err) || !strings.HasSuffix(got.Error(), tt.want) || tt.want == "" && got.Error() != tt.err.Error() {
			t.Errorf("%v:\n%v\nwant an end of %q", tt.err, got, tt.want)
		}
	}
}

func TestPagesURL(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		cert string
		want string
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, "", "http://127.0.0.1:8080/"},
		{&net.TCPAddr{IP: net.IPv6unspecified, Port: 8081}, "a.pem", "https://localhost:8081/"},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 8081}, "", "http://[::1]:8081/"},
		{&net.UnixAddr{Name: "/run/fairway.sock"}, "", ""},
		{nil, "", ""},
	} {
		c := &Config{Admin: AdminConfig{TLSCert: tt.cert}}
		if got := c.pagesURL(tt.addr); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.addr, got, tt.want)
		}
	}
}
