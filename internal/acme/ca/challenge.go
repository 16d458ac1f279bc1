package ca

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// solvers is the one challenge of an order.
func (c *Client) solvers(name string, attempt int) (map[string]acmez.Solver, error) {
	kind := c.o.Challenges[attempt%len(c.o.Challenges)]
	if strings.HasPrefix(name, "*.") {
		kind = DNS01
	}
	if kind != DNS01 {
		return map[string]acmez.Solver{kind: solver{c}}, nil
	}
	if c.o.DNS == nil {
		return nil, errors.New("a wildcard needs the challenge dns-01, for which acme.dns.provider is not set: set it, or give the host a certificate of yours in tls.certificates")
	}
	return map[string]acmez.Solver{DNS01: prover{c.o.DNS}}, nil
}

// prover says of what fails that it is not the authority's fault.
type prover struct{ Prover }

// Present makes the answer known.
func (p prover) Present(ctx context.Context, ch acme.Challenge) error {
	return unproved(ctx, p.Prover.Present(ctx, ch))
}

// Wait waits until others can see it.
func (p prover) Wait(ctx context.Context, ch acme.Challenge) error {
	return unproved(ctx, p.Prover.Wait(ctx, ch))
}

func unproved(ctx context.Context, err error) error {
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return &Failure{Kind: Unproved, Text: err.Error()}
}

// solver answers HTTP-01 and TLS-ALPN-01: any replica can, by what the storage has.
type solver struct{ *Client }

// Present makes the answer known.
func (s solver) Present(ctx context.Context, ch acme.Challenge) error {
	text, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	key := s.solveKey(ch.Type, ch.Identifier.Value)
	s.mu.Lock()
	s.solves[key] = ch
	s.mu.Unlock()
	if err := s.o.Storage.Store(ctx, key, text); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

// CleanUp forgets it, also where ctx has ended.
func (s solver) CleanUp(ctx context.Context, ch acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	key := s.solveKey(ch.Type, ch.Identifier.Value)
	s.mu.Lock()
	delete(s.solves, key)
	s.mu.Unlock()
	return s.o.Storage.Delete(ctx, key)
}

func (c *Client) solveKey(kind, name string) string {
	safe := certmagic.StorageKeys.Safe
	return path.Join("acme", safe(c.issuer), "challenges", kind, safe(name)+".json")
}

// challenge is what is to be answered for a name now, by whichever replica asked for it.
func (c *Client) challenge(ctx context.Context, kind, name string) (ch acme.Challenge, ok bool) {
	key := c.solveKey(kind, name)
	c.mu.Lock()
	ch, ok = c.solves[key]
	c.mu.Unlock()
	if ok {
		return ch, true
	}
	select {
	case c.room <- struct{}{}:
		defer func() { <-c.room }()
	default: // strangers ask, too
		return ch, false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	text, err := c.o.Storage.Load(ctx, key)
	if err != nil || json.Unmarshal(text, &ch) != nil {
		return ch, false
	}
	return ch, ch.Type == kind && strings.EqualFold(ch.Identifier.Value, name)
}

// answerTime bounds how long the storage is waited for when the authority asks, maxLookups
// how many ask it at a time.
const (
	answerTime = 5 * time.Second
	maxLookups = 32
)

// Answer is the key authorization that answers HTTP-01 for a host and a token.
func (c *Client) Answer(ctx context.Context, host, token string) (text string, ok bool) {
	if !slices.Contains(c.o.Challenges, HTTP01) {
		return "", false
	}
	ch, ok := c.challenge(ctx, HTTP01, host)
	if !ok || ch.Token != token || token == "" {
		return "", false
	}
	return ch.KeyAuthorization, true
}

// Certificate answers TLS-ALPN-01 for a host.
func (c *Client) Certificate(ctx context.Context, host string) (*tls.Certificate, error) {
	ch, ok := c.challenge(ctx, TLSALPN01, host)
	if !ok {
		return nil, errors.New("no challenge for this name")
	}
	return acmez.TLSALPN01ChallengeCert(ch)
}
