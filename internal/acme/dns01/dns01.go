// Package dns01 answers the ACME challenge DNS-01 (RFC 8555, 8.4): it finds where the TXT
// record belongs, has an Editor add it, waits until the servers of the zone have it, and has
// it removed, also after an order that failed.
package dns01

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"fairway/internal/acme/dns01/edit"
)

const (
	// editTime bounds one change of a record.
	editTime = time.Minute
	// The servers are asked for the record again after firstLook, then later each time, up to lastLook.
	firstLook = 500 * time.Millisecond
	lastLook  = 5 * time.Second
)

// Editor changes records of zones. Its methods may be called from any goroutine.
type Editor interface {
	// Add adds a record beside others of its name. One that is there already is no error.
	Add(ctx context.Context, r edit.Record) error
	// Remove removes this record and no other. One that is not there is no error.
	Remove(ctx context.Context, r edit.Record) error
}

// Options are what New needs. Editor is required.
type Options struct {
	Editor Editor
	// Zone is the zone of all records; empty has it looked for.
	Zone string
	// Resolvers are asked for delegations, zones and their servers, HOST:PORT; none are
	// those of the machine.
	Resolvers []string
	// Servers are asked whether they have the record, HOST:PORT; none are those of the zone.
	Servers []string
	// Blind says that no server is asked.
	Blind bool
	// Timeout bounds how long servers are waited for.
	Timeout time.Duration
	// Logger gets what could not be removed; nil for none.
	Logger *slog.Logger
}

// Solver answers the challenges of one configuration. Its methods may be called from any
// goroutine.
type Solver struct {
	o   Options
	log *slog.Logger
	ask asker

	mu    sync.Mutex
	added map[string]edit.Record // by name of the challenge and text
}

// New returns a solver; it asks nothing of any server yet.
func New(o Options) *Solver {
	s := &Solver{o: o, log: o.Logger, ask: asker{resolvers: o.Resolvers, port: "53", exchange: exchange}, added: map[string]edit.Record{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// of are the name and the text of the record of a challenge, and what it is kept by.
func of(ch acme.Challenge) (name, text, key string) {
	name, text = dns.CanonicalName(ch.DNS01TXTRecordName()), ch.DNS01KeyAuthorization()
	return name, text, name + " " + text
}

// Present has the record added: at the name of the challenge, or where a CNAME at that name
// leads to.
func (s *Solver) Present(ctx context.Context, ch acme.Challenge) error {
	name, text, key := of(ch)
	r, err := s.place(ctx, name)
	if err != nil {
		return err
	}
	r.Text = text
	s.mu.Lock()
	s.added[key] = r // also what may have been added is removed
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, editTime)
	defer cancel()
	if err := s.o.Editor.Add(ctx, r); err != nil {
		return fmt.Errorf("dns: the TXT record %s cannot be added: %w", r.Name, err)
	}
	return nil
}

// place is the record of a challenge, without its text.
func (s *Solver) place(ctx context.Context, name string) (r edit.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, editTime)
	defer cancel()
	if name, err = s.ask.follow(ctx, name); err != nil {
		return r, fmt.Errorf("dns: %w", err)
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" { // others say where a CNAME leads; it goes to programs and URLs
		return r, fmt.Errorf("dns: the CNAME of the challenge leads to %q, which is no host name", name)
	}
	r = edit.Record{Name: name, Zone: dns.CanonicalName(s.o.Zone)}
	if s.o.Zone == "" {
		if r.Zone, err = s.ask.zone(ctx, name); err != nil {
			return r, fmt.Errorf("dns: %w", err)
		}
	}
	if !dns.IsSubDomain(r.Zone, r.Name) {
		return r, fmt.Errorf("dns: %s is not in the zone %s of acme.dns.zone", r.Name, strings.TrimSuffix(r.Zone, "."))
	}
	return r, nil
}

// Wait waits until all servers of the zone that answer have the record, and one does.
func (s *Solver) Wait(ctx context.Context, ch acme.Challenge) error {
	if s.o.Blind {
		return nil
	}
	_, _, key := of(ch)
	s.mu.Lock()
	r, ok := s.added[key]
	s.mu.Unlock()
	if !ok {
		return errors.New("dns: the record was not added")
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	servers, err := s.o.Servers, error(nil)
	if len(servers) == 0 {
		if servers, err = s.ask.servers(ctx, r.Zone); err != nil {
			return fmt.Errorf("dns: %w", err)
		}
	}
	lacks := "no server has answered"
	for pause := firstLook; ; pause = min(pause*3/2, lastLook) {
		now := s.ask.lacks(ctx, servers, r)
		switch {
		case ctx.Err() != nil: // what was cut says nothing
		case now == "":
			return nil
		default:
			lacks = now
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("dns: the TXT record %s was added, and after %v %s; acme.dns.timeout bounds that", r.Name, s.o.Timeout, lacks)
		}
	}
}

// CleanUp has the record removed, also where ctx has ended.
func (s *Solver) CleanUp(ctx context.Context, ch acme.Challenge) error {
	_, _, key := of(ch)
	s.mu.Lock()
	r, ok := s.added[key]
	delete(s.added, key)
	s.mu.Unlock()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), editTime)
	defer cancel()
	err := s.o.Editor.Remove(ctx, r)
	if err != nil {
		s.log.Warn("a TXT record of a challenge is left over", "record", r.Name, "error", err)
	}
	return err
}
