package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
)

// withFlag adds to an error of an address of ours that cannot be bound, which flag gives
// another one. Any other error is returned as it is.
func (c *Config) withFlag(err error) error {
	var failed *net.OpError
	if !errors.As(err, &failed) || failed.Op != "listen" || failed.Addr == nil {
		return err
	}
	for _, own := range c.addresses() {
		port := portOf(own.address)
		if port == 0 || port != portOf(failed.Addr.String()) {
			continue
		}
		why := fmt.Sprintf("stop what listens there (ss -ltnp 'sport = :%d' shows it)", port)
		if own.key == "admin.listen" {
			why = fmt.Sprintf("if another Fairway runs here, stop it; else see what listens there (ss -ltnp 'sport = :%d')", port)
		}
		if errors.Is(err, fs.ErrPermission) {
			why = "start it as root or with the capability NET_BIND_SERVICE"
		}
		return fmt.Errorf("%w\nhint: %s, or give another address: --%s %s", err, why, own.key, c.otherAddress(own.address))
	}
	return err
}

// otherAddress is an address with a port that is likely to be free and allowed, and is
// none of ours.
func (c *Config) otherAddress(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	port := portOf(address) + 1
	switch port - 1 {
	case 80, 1<<16 - 1:
		port = 8000
	case 443:
		port = 8443
	}
	for slices.ContainsFunc(c.addresses(), func(own ownAddress) bool { return portOf(own.address) == port }) {
		port++
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// pagesURL is where a browser on this machine finds the pages; empty where nothing of TCP
// listens for them.
func (c *Config) pagesURL(bound net.Addr) string {
	addr, ok := bound.(*net.TCPAddr)
	if !ok {
		return ""
	}
	scheme, host := "http", addr.IP.String()
	if c.Admin.TLSCert != "" {
		scheme = "https"
	}
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(addr.Port)) + "/"
}
