// Package daemon is what the sources that follow Docker daemons have in common:
// which addresses count, which signals stop a container, how a silent daemon is
// noticed.
package daemon

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
)

const (
	// ConfirmAfter is how long after an answer that lacks a service the next one is
	// due that confirms it: above the collector's five seconds.
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

// Watch returns an error when the daemon does not answer, or when ctx ends. Docker's
// event stream has no heartbeat: a ping on a connection of its own distinguishes a silent
// daemon from a quiet one.
func Watch(ctx context.Context, c *dockerapi.Client) error {
	for {
		select {
		case <-time.After(pingEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := Ping(ctx, c, pingDeadline); err != nil {
			return err
		}
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

// SortPorts sorts by number, then by protocol.
func SortPorts(list []catalog.Port) []catalog.Port {
	slices.SortFunc(list, func(a, b catalog.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Protocol, b.Protocol))
	})
	return list
}
