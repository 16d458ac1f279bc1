package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"fairway/internal/dns"
	"fairway/internal/dns/forward"
)

// Config is the keys below dns.
type Config struct {
	Listen      []string       `name:"listen" placeholder:"ADDR" sep:"," bare:"bridges" help:"Address to answer DNS on, over UDP and TCP, such as 172.17.0.1:53; bridges, or the flag alone, for loopback and this machine's address on every network of containers; :53 for every address. None by default. Repeatable."`
	Zones       []string       `name:"zones" placeholder:"ZONE" sep:"," preset:"docker" help:"Domains that are answered for: web.docker is the service web. Repeatable."`
	TTL         time.Duration  `name:"ttl" placeholder:"DURATION" preset:"5s" least:"0s" most:"1h" help:"Time that an answer may be kept."`
	NegativeTTL time.Duration  `name:"negative-ttl" placeholder:"DURATION" preset:"1s" least:"0s" most:"1h" help:"Time that an answer may be kept that something is not there."`
	Address     string         `name:"address" placeholder:"HOW" preset:"auto" oneof:"auto,instance,proxy" help:"How clients on other machines see instances: auto, by published ports; instance, by their own addresses, which are routed; proxy, by the address that was asked, where Fairway listens."`
	Views       []dns.View     `name:"views" placeholder:"NETWORK=HOW" sep:"," help:"Exceptions from dns.address by the client's network, such as 10.8.0.0/16=instance. Repeatable."`
	SingleLabel bool           `name:"single-label" preset:"true" help:"Answer host names of containers without a zone, to this machine and its containers."`
	Clients     []netip.Prefix `name:"clients" placeholder:"CIDR" sep:"," derived:"loopback, link-local and private networks" help:"Networks that may ask; others get no reply. Repeatable."`
	Recursion   []netip.Prefix `name:"recursion" placeholder:"CIDR" sep:"," derived:"this machine and its containers" help:"Networks that may also have names of others looked up. Repeatable."`
	Forward     []forward.Rule `name:"forward" placeholder:"DOMAIN=ADDR" sep:"," derived:"the resolvers of /etc/resolv.conf for everything" help:"Resolvers of a domain of others, such as consul=127.0.0.1:8600; the longest domain counts, . is everything, more addresses follow after +. Repeatable."`
	Cache       int            `name:"cache" placeholder:"N" preset:"10000" least:"0" most:"1000000" help:"Number of answers of others that are kept, within 16 MiB."`
	Unsure      string         `name:"unsure" placeholder:"HOW" preset:"servfail" oneof:"servfail,nxdomain" help:"Answer for a name that is not there while a source cannot be asked: servfail, or nxdomain as if it could."`
}

// settings are those of the zone.
func (c Config) settings() dns.Settings {
	var forwarded []string
	for _, r := range c.Forward {
		forwarded = append(forwarded, strings.TrimSuffix(r.Domain, "."))
	}
	return dns.Settings{
		Forwarded: forwarded, Zones: c.Zones, TTL: cmp.Or(c.TTL, -1), NegativeTTL: cmp.Or(c.NegativeTTL, -1), Mode: c.Address, Views: c.Views, SingleLabel: c.SingleLabel,
		Clients: c.Clients, Recursion: c.Recursion, Deny: c.Unsure == "nxdomain",
	}
}

// Check calls add with each key below dns that cannot be meant, its value and why.
func (c Config) Check(add func(key, value, reason string)) {
	for _, text := range c.Listen {
		if _, err := parseListen(text); err != nil && text != off {
			add("dns.listen", text, err.Error())
		}
	}
	if err := c.settings().Check(); err != nil {
		add("dns.zones", fmt.Sprint(c.Zones), err.Error())
	}
}

// off among the addresses stands for none.
const off = "off"

// Open is New for what is configured; nil where DNS is off.
func (c Config) Open(o Options) (*Server, error) {
	o.Listen = slices.DeleteFunc(slices.Clone(c.Listen), func(text string) bool { return text == off })
	if len(o.Listen) == 0 {
		return nil, nil
	}
	o.Settings = c.settings()
	var s *Server
	o.Foreign = forward.New(forward.Options{Rules: c.Forward, Entries: c.Cache, Logger: o.Logger, Metrics: o.Metrics, Own: func() []string {
		if s == nil {
			return nil
		}
		return s.Bound()
	}})
	s, err := New(o)
	if errors.Is(err, syscall.EACCES) || errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w\nhint: start it as root or with the capability NET_BIND_SERVICE, or give another port: --dns.listen bridges:8053", err)
	}
	return s, err
}
