package edit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// RFC2136 sends dynamic updates to a server, signed by TSIG (RFC 8945) where there is a key.
type RFC2136 struct {
	// Server is HOST:PORT.
	Server string
	// KeyFile holds the secret in base64, or a key as BIND writes it, which then has name and
	// algorithm, too; empty for no signature. KeyID is the name of the key, HMAC-SHA256.
	KeyID, KeyFile string
}

// updateTime bounds each step of an update.
const updateTime = 30 * time.Second

// tsig is a key of TSIG.
type tsig struct{ name, algorithm, secret string }

var (
	bindName      = regexp.MustCompile(`key\s+"?([^\s"{]+)"?\s*\{`)
	bindAlgorithm = regexp.MustCompile(`algorithm\s+"?([^\s";]+)"?\s*;`)
	bindSecret    = regexp.MustCompile(`secret\s+"?([^\s";]+)"?\s*;`)
)

// key reads the key.
func (e RFC2136) key() (k tsig, err error) {
	text, err := secret("acme.dns.key-file", e.KeyFile)
	if err != nil {
		return k, err
	}
	k = tsig{e.KeyID, "hmac-sha256", text}
	if m := bindSecret.FindStringSubmatch(text); m != nil {
		k.secret = m[1]
		if m := bindAlgorithm.FindStringSubmatch(text); m != nil {
			k.algorithm = m[1]
		}
		if m := bindName.FindStringSubmatch(text); m != nil && k.name == "" {
			k.name = m[1]
		}
	}
	if _, err := base64.StdEncoding.DecodeString(k.secret); err != nil {
		return k, errors.New("acme.dns.key-file: neither a secret in base64 nor a key as tsig-keygen writes it")
	}
	if k.name == "" {
		return k, errors.New("acme.dns.key-id: write the name that the server knows the key by")
	}
	k.name, k.algorithm = dns.CanonicalName(k.name), dns.CanonicalName(k.algorithm)
	return k, nil
}

// Check says what is wrong with the key.
func (e RFC2136) Check() error {
	if e.KeyFile == "" {
		return nil
	}
	_, err := e.key()
	return err
}

// Add adds a record.
func (e RFC2136) Add(ctx context.Context, r Record) error { return e.update(ctx, r, true) }

// Remove removes it.
func (e RFC2136) Remove(ctx context.Context, r Record) error { return e.update(ctx, r, false) }

func (e RFC2136) update(ctx context.Context, r Record, add bool) error {
	rr := []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: r.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: TTL}, Txt: []string{r.Text}}}
	m := new(dns.Msg).SetUpdate(r.Zone)
	if add {
		m.Insert(rr)
	} else {
		m.Remove(rr)
	}
	client := &dns.Client{Net: "tcp", Timeout: updateTime} // a server that limits the rate of answers limits those of UDP
	if e.KeyFile != "" {
		k, err := e.key()
		if err != nil {
			return err
		}
		client.TsigSecret = map[string]string{k.name: k.secret}
		m.SetTsig(k.name, k.algorithm, 300, time.Now().Unix())
	}
	answer, _, err := client.ExchangeContext(ctx, m, e.Server)
	if answer != nil && answer.Rcode != dns.RcodeSuccess { // where the key is wrong it is not signed, which is an error, too
		return fmt.Errorf("%s answers %s%s", e.Server, dns.RcodeToString[answer.Rcode], hint(answer.Rcode, r))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Server, err)
	}
	return nil
}

// hint is what an answer usually means.
func hint(rcode int, r Record) string {
	zone := strings.TrimSuffix(r.Zone, ".")
	switch rcode {
	case dns.RcodeRefused:
		return ": it lets this key (acme.dns.key-id), or this machine, change nothing in the zone " + zone
	case dns.RcodeNotAuth:
		return ": it does not know the key (acme.dns.key-id, acme.dns.key-file), or the zone " + zone + " (acme.dns.zone) is not its own"
	case dns.RcodeNotZone:
		return ": " + r.Name + " is not in the zone " + zone
	}
	return ""
}
