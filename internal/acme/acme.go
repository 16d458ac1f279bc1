// Package acme gets certificates for the hosts that are served, keeps them renewed, and
// gives them to the engines as files.
//
//  1. Wants says which hosts of the live table need a certificate (wants.go).
//  2. decide compares them with what is there, and says what is to be done next, and when:
//     all policy is in it (decide.go). It is pure.
//  3. The loop does it, with an Issuer or an Authority, and writes what it gets to a file for
//     each name, which the catalogue names and both engines read (run.go, files.go).
//
// Requests never wait for any of it: while no certificate can be had, what is there serves on.
package acme

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/acme/ca"
	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// Name is the name of the source of certificates.
const Name = "acme"

// MaxNames bounds how many hosts get certificates.
const MaxNames = 10_000

// Issuer orders certificates of an authority. Errors are *ca.Failure unless the context has
// ended. Its methods may be called from any goroutine.
type Issuer interface {
	// Obtain returns a certificate that replaces another one, or none; attempt counts
	// those that have failed.
	Obtain(ctx context.Context, name string, replaces *x509.Certificate, attempt int) (*ca.Bundle, error)
	// Window is when the authority wants a certificate to be renewed, and when to ask again.
	Window(ctx context.Context, leaf *x509.Certificate) (from, to, again time.Time, err error)
	// Revoke has it revoked.
	Revoke(ctx context.Context, name string, leaf *x509.Certificate, reason int) error
}

// Authority issues certificates for names that no public authority issues for.
type Authority interface {
	Issue(ctx context.Context, name string) (certPEM, keyPEM []byte, err error)
}

// Event is something to report once: a name that has begun to fail, or works again.
type Event struct {
	// Name is the host; empty for the authority as a whole, OwnAuthority for Fairway's own.
	Name string
	// Failed is true when it begins to fail, false when it works again.
	Failed bool
	Text   string
}

// OwnAuthority stands for the internal authority in events.
const OwnAuthority = "the authority of Fairway's own"

// Subject is what people call it.
func (e Event) Subject() string { return cmp.Or(e.Name, "the certificate authority") }

// Options are what New needs. Dir and Metrics are required.
type Options struct {
	// Dir is the directory of everything here; it is made, for its owner alone.
	Dir string
	// Issuer is asked for all names but those for Authority; where one is nil, its names
	// get none.
	Issuer    Issuer
	Authority Authority
	// Directory stands for the issuer's authority: certificates of another one are replaced.
	Directory string
	// Covered are the names, some with "*.", that certificates of others have; nil for none.
	Covered func(*route.Table) []string
	// Private says that the issuer's authority is a private one: names that no public one
	// issues for are asked of it, too. Wildcards says that it can have wildcards.
	Private, Wildcards bool
	// OnDemand has certificates got for names that clients ask for; nil for none.
	OnDemand *OnDemand
	// Challenges is where HTTP-01 is answered, host:port; empty where it is not used.
	Challenges string
	// Recompile is called when the table has to be made anew; nil for never.
	Recompile func()
	// Report is called for each event, by the loop; nil for never.
	Report  func(Event)
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Keeper keeps certificates. Run is called once; all other
// methods may be called from any goroutine.
type Keeper struct {
	o     Options
	live  string        // directory of the files
	every time.Duration // coveredEvery, but for tests
	log   *slog.Logger

	wake    chan struct{}                         // of the source
	certs   atomic.Pointer[[]catalog.Certificate] // what the source answers
	covered atomic.Pointer[[]string]
	view    atomic.Pointer[View]
	orders  chan order
	ended   chan struct{} // closed when Run takes no more orders
	meters  meters
	demands *demands // nil for none
	led     struct { // what Challenges has returned last
		sync.Mutex
		route   *route.Route
		backend *route.Backend
	}

	// What follows belongs to the goroutine of Run.
	state   *state
	table   *route.Table
	takers  *takers // of table
	results chan result
	running int
	unsaved bool // the state has changed since it was saved
}

// New reads what an earlier run has left. It orders nothing yet.
func New(o Options) (*Keeper, error) {
	if o.Dir == "" || o.Metrics == nil {
		return nil, errors.New("acme: directory and metrics are required")
	}
	k := &Keeper{
		o: o, every: coveredEvery, live: filepath.Join(o.Dir, "live"), log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		wake: make(chan struct{}, 1), orders: make(chan order), ended: make(chan struct{}), results: make(chan result),
		takers: newTakers(nil),
	}
	if o.Covered == nil {
		k.o.Covered = func(*route.Table) []string { return nil }
	}
	if err := k.open(time.Now()); err != nil {
		return nil, err
	}
	k.covered.Store(&[]string{})
	k.measure(o.Metrics)
	k.demands = newDemands(o.OnDemand, o.Metrics)
	k.publish()
	k.show()
	return k, nil
}

// Certificates are those of the source now, as of the last run before Run.
func (k *Keeper) Certificates() []catalog.Certificate { return *k.certs.Load() }

// Managed says whether a file is one of the keeper's.
func (k *Keeper) Managed(file string) bool { return filepath.Dir(file) == k.live }
