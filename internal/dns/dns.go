// Package dns answers DNS for what runs: the names of services, instances and machines, in
// zones of its own.
//
// A Zone is made of a snapshot, is immutable, and is swapped by one pointer. What an
// answer says depends on who asks: a container gets the addresses on the networks that it
// shares, this machine those of its bridges, and others what is published. Only instances
// that are ready answer for their service. Names that are not there are denied only when every
// source has answered.
package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// How askers beyond this machine and its containers see an instance.
const (
	ModeAuto     = "auto"     // by the ports that are published
	ModeInstance = "instance" // by its own addresses, which are routed
	ModeProxy    = "proxy"    // by the address of Fairway, where its proxy listens
)

// View is how a network that askers are on sees instances.
type View struct {
	Network netip.Prefix
	Mode    string
}

// UnmarshalText reads NETWORK=MODE.
func (v *View) UnmarshalText(text []byte) error {
	network, mode, ok := strings.Cut(string(text), "=")
	p, err := netip.ParsePrefix(strings.TrimSpace(network))
	mode = strings.TrimSpace(mode)
	if !ok || err != nil || !slices.Contains([]string{ModeAuto, ModeInstance, ModeProxy}, mode) {
		return errors.New("write NETWORK=MODE, such as 10.8.0.0/16=instance; the modes are auto, instance and proxy")
	}
	*v = View{p.Masked(), mode}
	return nil
}

// String returns the text form.
func (v View) String() string { return v.Network.String() + "=" + v.Mode }

// Settings say what is answered. Complete fills what is empty.
type Settings struct {
	// Zones are the domains that Fairway answers for, such as "docker"; the first is that
	// of names in other answers.
	Zones []string
	// TTL is how long an answer may be kept, NegativeTTL that something is not there;
	// below zero is not at all.
	TTL, NegativeTTL time.Duration
	// Mode is how askers from elsewhere see instances; Views are exceptions by network.
	Mode  string
	Views []View
	// SingleLabel answers host names without a zone, to this machine and its containers.
	SingleLabel bool
	// Forwarded are domains of others whose resolvers are named. One of one label is looked up
	// there.
	Forwarded []string
	// Clients may ask; an empty list is loopback, link-local and private addresses. Recursion
	// are those who may ask for names of others, too; an empty list is loopback and the networks
	// of containers on this machine.
	Clients, Recursion []netip.Prefix
	// Deny says that a name is not there even while a source cannot be asked.
	Deny bool
}

// Complete fills what is empty.
func (s *Settings) Complete() {
	if len(s.Zones) == 0 {
		s.Zones = []string{"docker"}
	}
	s.TTL, s.NegativeTTL = cmp.Or(s.TTL, 5*time.Second), cmp.Or(s.NegativeTTL, time.Second)
	s.Mode = cmp.Or(s.Mode, ModeAuto)
	if len(s.Clients) == 0 {
		for _, p := range []string{"127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
			s.Clients = append(s.Clients, netip.MustParsePrefix(p))
		}
	}
}

// Check returns what is wrong with the zones.
func (s Settings) Check() error {
	for _, z := range s.Zones {
		name := strings.ToLower(strings.Trim(z, "."))
		_, ok := dns.IsDomainName(name)
		switch {
		case name == "" || !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "":
			return fmt.Errorf("%q is no zone: write a domain of letters, digits and hyphens, such as docker", z)
		case name == "local" || strings.HasSuffix(name, ".local"):
			return fmt.Errorf("%q belongs to multicast DNS: take another name, such as internal", z)
		case name == "localhost":
			return fmt.Errorf("%q is this machine to every program: take another name, such as internal", z)
		}
	}
	return nil
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// maxLabel is how long a label of a name may be.
const maxLabel = 63

// spellings returns the names, in lower case, by which a name is found: as it is written
// with its dots, and as one label that is a host name. It is empty for what cannot be one.
func spellings(name string) []string {
	name = strings.ToLower(strings.Trim(name, "."))
	if name == "" || len(name) > 200 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Contains(name, "..") {
		return nil
	}
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = cut(part)
	}
	dotted := strings.Join(parts, ".")
	host := cut(strings.Trim(strings.NewReplacer("_", "-", ".", "-").Replace(name), "-"))
	if host == dotted || host == "" {
		return []string{dotted}
	}
	return []string{dotted, host}
}

// cut shortens a label that is too long, so that two of them stay apart.
func cut(label string) string {
	if len(label) <= maxLabel {
		return label
	}
	return fmt.Sprintf("%s-%08x", label[:54], hash(label))
}

// hash is FNV-1a, which is the same in every run.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
