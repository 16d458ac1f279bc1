package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/dns"
)

func TestFindings(t *testing.T) {
	up, down := "up", "down"
	for name, x := range map[string]struct {
		state names.Names
		want  string
	}{
		"nothing":     {names.Names{}, ""},
		"one is down": {names.Names{Resolvers: []names.Resolver{{Address: "1.1.1.1:53", Domain: ".", State: down}, {Address: "9.9.9.9:53", Domain: ".", State: up}}}, ""},
		"all of two domains": {
			names.Names{Resolvers: []names.Resolver{{Address: "1.1.1.1:53", Domain: ".", State: down}, {Address: "9.9.9.9:53", Domain: ".", State: down}, {Address: "[::1]:8600", Domain: "consul.", State: down}}},
			"forwarder-away .: names of others are not resolved: no answer from 1.1.1.1:53, 9.9.9.9:53 (see that it is reached from here: dig @1.1.1.1 -p 53 example.com; or name another one with dns.forward); " +
				"forwarder-away consul.: names below consul are not resolved: no answer from [::1]:8600 (see that it is reached from here: dig @::1 -p 8600 example.consul; or name another one with dns.forward)",
		},
		"a loop": {
			names.Names{Resolvers: []names.Resolver{{Address: "127.0.0.11:53", Domain: ".", State: "loop"}, {Address: "9.9.9.9:53", Domain: ".", State: up}}},
			"dns-loop 127.0.0.11:53: resolver 127.0.0.11:53 sends questions back to Fairway, and is left out (name another one: dns.forward=.=9.9.9.9, or take Fairway out of the resolvers that it asks)",
		},
		"names": {
			names.Names{Zones: []string{"docker"}, Taken: []names.TakenName{{Name: "a.example", Service: "a@docker", ByLabel: true}, {Name: "*.docker", Service: "a@docker", ByLabel: true}, {Name: "docker", Service: "a@docker", ByLabel: true}, {Name: "host.docker", Service: "a@docker", ByLabel: true}, {Name: "db.docker", Holder: "b@docker", Service: "c@docker"}, {Name: "x.docker", Holder: "b@docker", Service: "c@docker", ByLabel: true}}},
			"name-taken a.example: fairway.dns.name asks for a.example, which is no name in docker (write a name that ends in .docker, or add its zone to dns.zones); " +
				"name-taken *.docker: fairway.dns.name asks for *.docker, which Fairway keeps for itself, or which is no host name (take another name); " +
				"name-taken docker: fairway.dns.name asks for docker, which Fairway keeps for itself, or which is no host name (take another name); " +
				"name-taken host.docker: fairway.dns.name asks for host.docker, which Fairway keeps for itself, or which is no host name (take another name); " +
				"name-taken x.docker: fairway.dns.name asks for x.docker, which b@docker has (take another name, or the label off b@docker)",
		},
	} {
		var got []string
		for _, f := range findings(x.state) {
			got = append(got, fmt.Sprintf("%s %s: %s (%s)", f.Reason.Code, f.Subject, f.Reason.Text, f.Reason.Hint))
			if f.Service == "" && f.Reason.Code == "name-taken" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if strings.Join(got, "; ") != x.want {
			t.Errorf("%s: %s", name, strings.Join(got, "; "))
		}
	}
}

// Those who ask are known, the newest first, and of many those that asked long ago are forgotten.
func TestClients(t *testing.T) {
	c := clients{all: map[netip.Addr]client{}}
	now := time.Unix(1772542800, 0)
	z := dns.Build(nil, shop(), settings, local, now)
	for i := range 3 * maxClients {
		c.count(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), now.Add(time.Duration(i)*time.Second))
	}
	res := netip.MustParseAddr("172.17.0.2")
	c.count(res, now.Add(time.Hour*2))
	c.count(res, now.Add(time.Hour*2))
	list := c.list(z)
	if len(list) != maxClients || list[0].Instance != "res-1" || list[0].Questions != 2 || list[1].Address != "10.1.11.183" {
		t.Errorf("%d: %+v", len(list), list[:2])
	}
}
