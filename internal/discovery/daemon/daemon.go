// Package daemon is what the sources that follow Docker daemons have in common: which addresses
// count, which signals stop a container, how a silent daemon is noticed.
package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/dockerapi"
)

const (
	// ConfirmAfter is how long after an answer that lacks a service the one is due that
	// confirms it: above the collector's five seconds.
	ConfirmAfter = 5500 * time.Millisecond

	pingEvery    = 5 * time.Second
	pingDeadline = 3 * time.Second
)

// Ping asks the daemon for a sign of life.
func Ping(ctx context.Context, c *dockerapi.Client, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return c.Ping(ctx)
}

// Watch returns an error when the daemon does not answer, or when ctx ends. Docker's event
// stream has no heartbeat: only a ping distinguishes a silent daemon from a quiet one.
func Watch(ctx context.Context, c *dockerapi.Client) error {
	for {
		if err := clock.Sleep(ctx, pingEvery); err != nil {
			return err
		}
		if err := Ping(ctx, c, pingDeadline); err != nil {
			return err
		}
	}
}

// Recover, deferred, makes an error of a panic in decoding what a daemon sent.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

// HostNetwork is the name of Docker's network that is the machine's own.
const HostNetwork = "host"

// Usable reports whether ip is one that a container can have and others can dial.
func Usable(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() && ip.Zone() == ""
}

// SortAddresses sorts by network, then by host, and drops duplicates.
func SortAddresses(list []catalog.Address) []catalog.Address {
	slices.SortFunc(list, func(a, b catalog.Address) int {
		return cmp.Or(strings.Compare(a.Network, b.Network), strings.Compare(a.Host, b.Host))
	})
	return slices.Compact(list)
}

// PortKey is a port of a container.
type PortKey struct {
	Number   uint16
	Protocol string
}

// Ports sorts ports by number, then by protocol. They come with where each is published.
func Ports(published map[PortKey]string) []catalog.Port {
	var list []catalog.Port
	for k, at := range published {
		list = append(list, catalog.Port{Number: k.Number, Protocol: k.Protocol, Published: at})
	}
	slices.SortFunc(list, func(a, b catalog.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Protocol, b.Protocol))
	})
	return list
}

// HostPort is the address of a port.
func HostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// IsStopping reports whether a signal asks a container to end: SIGINT, SIGKILL or SIGTERM, or
// the one that the container is configured with. Both are written as the daemon does: by
// number, or by name with or without SIG.
func IsStopping(signal, configured string) bool {
	switch n := signalNumber(signal); n {
	case 0:
		return signal == "" // daemons that leave it out mean the default, SIGKILL
	case 2, 9, 15:
		return true
	default:
		return n == signalNumber(configured)
	}
}

// signals are Linux's numbers of the signals that containers get.
var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ABRT": 6, "KILL": 9, "USR1": 10, "USR2": 12, "ALRM": 14, "TERM": 15,
	"CONT": 18, "STOP": 19, "WINCH": 28, "PWR": 30,
}

// signalNumber returns the number of a signal; zero when it is unknown.
func signalNumber(s string) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n <= 64 {
		return n
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if offset, ok := strings.CutPrefix(name, "RTMIN"); ok {
		n, err := strconv.Atoi("0" + strings.TrimPrefix(offset, "+"))
		if err == nil && n <= 30 {
			return 34 + n
		}
		return 0
	}
	return signals[name]
}

// SignalName is what people call a signal; empty when it is unknown.
func SignalName(s string) string {
	n := signalNumber(s)
	for name, number := range signals {
		if number == n {
			return "SIG" + name
		}
	}
	if n > 0 {
		return "signal " + strconv.Itoa(n)
	}
	return ""
}
