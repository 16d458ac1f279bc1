package server

import (
	"net"
	"slices"
	"strings"

	"fairway/internal/api/names"
	"fairway/internal/condition"
)

// Findings are what is wrong with names now.
func (s *Server) Findings() []condition.Finding { return findings(s.State()) }

func findings(state names.Names) (list []condition.Finding) {
	add := func(subject, service, code, text, hint string) {
		list = append(list, condition.Finding{Kind: condition.KindName, Subject: subject, Service: service, State: condition.Degraded, Reason: condition.Reason{Code: code, Text: text, Hint: hint}})
	}
	silent := map[string][]string{} // addresses by domain
	for _, r := range state.Resolvers {
		if r.State != "up" {
			silent[r.Domain] = append(silent[r.Domain], r.Address)
		}
		if r.State == "loop" {
			add(r.Address, "", condition.CodeNameLoop, "resolver "+r.Address+" sends questions back to Fairway, and is left out", "name another one: dns.forward=.=9.9.9.9, or take Fairway out of the resolvers that it asks")
		}
	}
	for i, r := range state.Resolvers {
		if i > 0 && state.Resolvers[i-1].Domain == r.Domain || slices.ContainsFunc(state.Resolvers, func(other names.Resolver) bool { return other.Domain == r.Domain && other.State == "up" }) {
			continue
		}
		of, below := "names of others are not resolved", "example.com"
		if r.Domain != "." {
			domain := strings.TrimSuffix(r.Domain, ".")
			of, below = "names below "+domain+" are not resolved", "example."+domain
		}
		host, port, _ := net.SplitHostPort(silent[r.Domain][0])
		add(r.Domain, "", condition.CodeForwarderAway, of+": no answer from "+strings.Join(silent[r.Domain], ", "), "see that it is reached from here: dig @"+host+" -p "+port+" "+below+"; or name another one with dns.forward")
	}
	for _, t := range state.Taken {
		switch {
		case !t.ByLabel:
		case t.Holder == "" && slices.ContainsFunc(state.Zones, func(zone string) bool { return strings.HasSuffix("."+t.Name, "."+zone) }):
			add(t.Name, t.Service, condition.CodeNameTaken, "fairway.dns.name asks for "+t.Name+", which Fairway keeps for itself, or which is no host name", "take another name")
		case t.Holder == "":
			add(t.Name, t.Service, condition.CodeNameTaken, "fairway.dns.name asks for "+t.Name+", which is no name in "+strings.Join(state.Zones, ", "), "write a name that ends in ."+state.Zones[0]+", or add its zone to dns.zones")
		default:
			add(t.Name, t.Service, condition.CodeNameTaken, "fairway.dns.name asks for "+t.Name+", which "+t.Holder+" has", "take another name, or the label off "+t.Holder)
		}
	}
	return list
}
