package dns01

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"fairway/internal/acme/dns01/edit"
)

const (
	// questionTime bounds one question to one server.
	questionTime = 3 * time.Second
	// maxChain bounds how many CNAMEs are followed, maxServers how many servers are asked.
	maxChain   = 8
	maxServers = 16
)

// asker asks name servers.
type asker struct {
	resolvers []string // none: those of the machine
	port      string   // of the servers of zones
	exchange  func(ctx context.Context, server string, m *dns.Msg) (*dns.Msg, error)
}

// exchange asks one server, and asks again over TCP where the answer was cut.
func exchange(ctx context.Context, server string, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	client := &dns.Client{UDPSize: 1232}
	answer, _, err := client.ExchangeContext(ctx, m, server)
	if err == nil && answer.Truncated {
		client.Net = "tcp"
		answer, _, err = client.ExchangeContext(ctx, m, server)
	}
	return answer, err
}

func question(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, kind)
	m.SetEdns0(1232, false)
	return m
}

// resolve asks the resolvers in turn until one has an answer, which may be that there is
// nothing.
func (a asker) resolve(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	resolvers := a.resolvers
	if len(resolvers) == 0 {
		config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(config.Servers) == 0 {
			return nil, errors.New("this machine has no resolver: name one with acme.dns.resolvers")
		}
		for _, s := range config.Servers {
			resolvers = append(resolvers, net.JoinHostPort(s, config.Port))
		}
	}
	var failed error
	for range 2 {
		for _, server := range resolvers {
			answer, err := a.exchange(ctx, server, question(name, kind))
			switch {
			case err != nil:
				failed = fmt.Errorf("%s does not answer: %w", server, err)
			case answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError:
				return answer, nil
			default:
				failed = fmt.Errorf("%s answers %s for %s %s", server, dns.RcodeToString[answer.Rcode], dns.TypeToString[kind], name)
			}
		}
	}
	return nil, failed
}

// follow is where the CNAMEs at a name lead to: the name itself where there is none.
func (a asker) follow(ctx context.Context, name string) (string, error) {
	for range maxChain {
		answer, err := a.resolve(ctx, name, dns.TypeCNAME)
		if err != nil {
			return "", err
		}
		next := ""
		for _, rr := range answer.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				next = dns.CanonicalName(c.Target)
			}
		}
		if next == "" {
			return name, nil
		}
		name = next
	}
	return "", fmt.Errorf("more than %d CNAMEs lead on from %s", maxChain, name)
}

// zone is the zone that a name is in.
func (a asker) zone(ctx context.Context, name string) (string, error) {
	for at := name; at != "."; {
		answer, err := a.resolve(ctx, at, dns.TypeSOA)
		if err != nil {
			return "", err
		}
		for _, rr := range append(answer.Answer, answer.Ns...) {
			if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, at) && soa.Hdr.Name != "." {
				return dns.CanonicalName(soa.Hdr.Name), nil
			}
		}
		_, rest, _ := strings.Cut(at, ".")
		if at = rest; at == "" {
			break
		}
	}
	return "", fmt.Errorf("no zone is found that %s is in: name it with acme.dns.zone", name)
}

// servers are the addresses of the servers of a zone.
func (a asker) servers(ctx context.Context, zone string) (list []string, err error) {
	answer, err := a.resolve(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	for _, rr := range answer.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			found, err := a.resolve(ctx, ns.Ns, kind)
			if err != nil {
				continue // another one may do
			}
			for _, rr := range found.Answer {
				switch rr := rr.(type) {
				case *dns.A:
					list = append(list, net.JoinHostPort(rr.A.String(), a.port))
				case *dns.AAAA:
					list = append(list, net.JoinHostPort(rr.AAAA.String(), a.port))
				}
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no server of the zone %s is found: name those to look at with acme.dns.servers", zone)
	}
	return list[:min(len(list), maxServers)], nil
}

// lacks says what is in the way of all servers having a record; empty for nothing. A server
// that does not answer, or does not serve the zone, counts only where none has the record.
func (a asker) lacks(ctx context.Context, servers []string, r edit.Record) string {
	type said struct {
		has bool
		err error
	}
	answers := make([]said, len(servers))
	var all sync.WaitGroup
	for i, server := range servers {
		all.Go(func() {
			answer, err := a.exchange(ctx, server, question(r.Name, dns.TypeTXT))
			if err == nil && answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
				err = errors.New(dns.RcodeToString[answer.Rcode])
			}
			answers[i] = said{err == nil && hasText(answer, r), err}
		})
	}
	all.Wait()
	has, silent := 0, ""
	for i, s := range answers {
		switch {
		case s.has:
			has++
		case s.err == nil:
			return servers[i] + " does not have it"
		default:
			silent = fmt.Sprintf("%s has no answer: %v", servers[i], s.err)
		}
	}
	if has == 0 {
		return silent
	}
	return ""
}

// hasText says whether an answer has the record.
func hasText(m *dns.Msg, r edit.Record) bool {
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); ok && strings.EqualFold(txt.Hdr.Name, r.Name) && strings.Join(txt.Txt, "") == r.Text {
			return true
		}
	}
	return false
}
