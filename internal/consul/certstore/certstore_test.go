package certstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/acme/ca"
	"fairway/internal/consul"
	"fairway/internal/consul/consultest"
	"fairway/internal/testkit"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// authority issues at once, unless it waits for someone, and counts what it is asked for.
type authority struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate

	mu     sync.Mutex
	orders map[string]int
	issued map[string]int
	hook   func(ctx context.Context, name string) error
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	return &authority{key: key, root: root, orders: map[string]int{}, issued: map[string]int{}}
}

func (*authority) IssuerKey() string { return "test" }

func (a *authority) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	name := csr.DNSNames[0]
	a.mu.Lock()
	a.orders[name]++
	hook := a.hook
	a.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, name); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued[name]++
	leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(a.issued[name])), DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.root, csr.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// replica is one Fairway as far as certificates go.
type replica struct {
	storage *Storage
	config  *certmagic.Config
}

func newReplica(t *testing.T, ca *authority, agents ...*consultest.Agent) *replica {
	t.Helper()
	var addresses []string
	for _, a := range agents {
		addresses = append(addresses, a.Address)
	}
	return newReplicaAt(t, ca, addresses...)
}

func newReplicaAt(t *testing.T, ca *authority, addresses ...string) *replica {
	t.Helper()
	client, err := consul.New(consul.Config{Addresses: addresses, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &replica{storage: New(client, Settings{Lock: consul.LockOptions{TTL: 2 * time.Second, Delay: 200 * time.Millisecond}})}
	if len(addresses) > 1 { // an election takes seconds
		r.storage.settings.Lock.TTL = 20 * time.Second
	}
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return r.config, nil }, Logger: zap.NewNop(),
	})
	t.Cleanup(cache.Stop)
	r.config = certmagic.New(cache, certmagic.Config{Storage: r.storage, Issuers: []certmagic.Issuer{ca}, Logger: zap.NewNop(), DisableARI: true})
	return r
}

func (r *replica) obtain(ctx context.Context, name string) error {
	ctx, cancel := r.storage.Work(ctx)
	defer cancel()
	return r.config.ObtainCertSync(ctx, name)
}

// serial is that of the stored certificate.
func (r *replica) serial(t *testing.T, name string) int64 {
	t.Helper()
	text, err := r.storage.Load(t.Context(), certmagic.StorageKeys.SiteCert("test", name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber.Int64()
}

func TestStorage(t *testing.T) {
	s := newReplica(t, newAuthority(t), consultest.Start(t)).storage
	ctx := t.Context()
	if _, err := s.Load(ctx, "a/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of none: %v", err)
	}
	if _, err := s.Stat(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of none: %v", err)
	}
	if _, err := s.List(ctx, "a", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of none: %v", err)
	}
	for _, key := range []string{"a/b/c", "a/b/d", "a/e", "ab/f", "wildcard_.example"} {
		if err := s.Store(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if value, err := s.Load(ctx, key); err != nil || string(value) != key {
			t.Errorf("Load %s: %q, %v", key, value, err)
		}
	}
	for dir, want := range map[string][2]string{"a": {"[a/b a/e]", "[a/b/c a/b/d a/e]"}, "": {"[a ab wildcard_.example]", "[a/b/c a/b/d a/e ab/f wildcard_.example]"}} {
		for i, recursive := range []bool{false, true} {
			if keys, err := s.List(ctx, dir, recursive); err != nil || fmt.Sprint(keys) != want[i] {
				t.Errorf("List %q, %t: %v, %v", dir, recursive, keys, err)
			}
		}
	}
	if info, err := s.Stat(ctx, "a/b/c"); err != nil || info.Size != 5 || !info.IsTerminal || time.Since(info.Modified).Abs() > time.Hour {
		t.Errorf("Stat of a value: %+v, %v", info, err)
	}
	if info, err := s.Stat(ctx, "a/b"); err != nil || info.IsTerminal || !s.Exists(ctx, "a/b") {
		t.Errorf("Stat of a directory: %+v, %v", info, err)
	}
	for range 2 {
		if err := s.Delete(ctx, "a"); err != nil {
			t.Error(err)
		}
	}
	if s.Exists(ctx, "a/e") || !s.Exists(ctx, "ab/f") {
		t.Error("Delete removes too little or too much")
	}
	if err := s.Store(ctx, "large", make([]byte, consul.MaxValue+1)); !errors.Is(err, consul.ErrTooLarge) {
		t.Errorf("a value that is too large: %v", err)
	}
	// Locks are no part of what is stored.
	if err := s.Lock(ctx, "issue_cert_a/b"); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.TryLock(ctx, "issue_cert_a/b"); ok || err != nil {
		t.Errorf("taken twice: %t, %v", ok, err)
	}
	if keys, err := s.List(ctx, "", true); err != nil || slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "locks") }) {
		t.Errorf("a lock is listed: %v, %v", keys, err)
	}
	if err := s.Unlock(ctx, "issue_cert_a/b"); err != nil {
		t.Error(err)
	}
	if err := s.Unlock(ctx, "issue_cert_a/b"); !errors.Is(err, consul.ErrLost) {
		t.Errorf("given back twice: %v", err)
	}
	if err := s.RenewLockLease(ctx, "issue_cert_a/b", time.Hour); !errors.Is(err, consul.ErrLost) {
		t.Errorf("extended without a lock: %v", err)
	}
}

// Ten replicas want the same names at once: each name is ordered once.
func TestTenReplicas(t *testing.T) {
	agent, ca := consultest.Start(t), newAuthority(t)
	names := []string{"a.example", "*.b.example", "c.example"}
	var all sync.WaitGroup
	for range 10 {
		r := newReplica(t, ca, agent)
		for _, name := range names {
			all.Go(func() {
				if err := r.obtain(t.Context(), name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if n := r.serial(t, name); n != 1 {
					t.Errorf("%s has serial %d", name, n)
				}
			})
		}
	}
	all.Wait()
	for _, name := range names {
		if ca.orders[name] != 1 {
			t.Errorf("%d orders for %s", ca.orders[name], name)
		}
	}
	s := newReplica(t, ca, agent).storage
	if keys, err := s.client.Keys(t.Context(), s.lockKey(""), ""); err != nil || len(keys) > 0 {
		t.Errorf("locks are left: %v, %v", keys, err)
	}
}

// A replica that dies while it orders is succeeded by one other, after its session; what the
// dead one had got goes nowhere.
func TestKilledWhileOrdering(t *testing.T) {
	agent, ca := consultest.Start(t), newAuthority(t)
	way := httptest.NewServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: agent.Address}))
	defer way.Close()
	dies, lives := newReplicaAt(t, ca, way.URL), newReplica(t, ca, agent)
	ordering := make(chan struct{})
	ca.hook = func(ctx context.Context, _ string) error {
		ca.mu.Lock()
		ca.hook = nil
		ca.mu.Unlock()
		close(ordering)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	failed := make(chan error)
	go func() { failed <- dies.obtain(t.Context(), "a.example") }()
	<-ordering
	way.CloseClientConnections() // to Consul it is dead now
	way.Listener.Close()
	began := time.Now()
	if err := lives.obtain(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	t.Logf("succeeded after %s", time.Since(began).Round(time.Millisecond))
	if err := <-failed; err == nil {
		t.Error("the order of the dead one goes on")
	}
	if n := lives.serial(t, "a.example"); n != 1 || ca.issued["a.example"] != 1 || ca.orders["a.example"] != 2 {
		t.Errorf("serial %d, %d issued, %d orders", n, ca.issued["a.example"], ca.orders["a.example"])
	}
}

// A replica that was only slow writes nothing once another has the lock.
func TestSlowWritesNothing(t *testing.T) {
	agent, ca := consultest.Start(t), newAuthority(t)
	slow, fast := newReplica(t, ca, agent), newReplica(t, ca, agent)
	key := certmagic.StorageKeys.SiteCert("test", "*.a.example")
	ctx := t.Context()
	if err := slow.storage.Lock(ctx, "issue_cert_*.a.example"); err != nil {
		t.Fatal(err)
	}
	// An operator ends its session.
	session, err := slow.storage.client.Get(ctx, slow.storage.lockKey("issue_cert_*.a.example"))
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+agent.Address+"/v1/session/destroy/"+session.Session, nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	if err := fast.obtain(ctx, "*.a.example"); err != nil {
		t.Fatal(err)
	}
	if err := slow.storage.Store(ctx, key, []byte("old")); !errors.Is(err, consul.ErrLost) {
		t.Errorf("the slow one writes: %v", err)
	}
	if n := fast.serial(t, "*.a.example"); n != 1 {
		t.Errorf("serial %d", n)
	}
	if err := slow.storage.Unlock(ctx, "issue_cert_*.a.example"); err != nil {
		t.Error(err)
	}
}

// What the orders of Fairway keep is guarded by their lock, for every name; registering an
// account stands in no other's way.
func TestOrderIsFenced(t *testing.T) {
	r := newReplica(t, newAuthority(t), consultest.Start(t))
	r.storage.settings.Lock.TTL = time.Minute
	for _, name := range []string{"*.a.example", "account"} {
		var guarded atomic.Int32
		directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if r.storage.guard(certmagic.StorageKeys.SiteCert("test", name)) != nil {
				guarded.Add(1)
			}
			http.Error(w, "no", http.StatusForbidden)
		}))
		client, err := ca.New(ca.Options{Directory: directory.URL, Storage: r.storage, Challenges: []string{ca.DNS01}, DNS: struct{ ca.Prover }{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		_, err = client.Obtain(ctx, name, nil, 0)
		if err == nil || ctx.Err() != nil || guarded.Load() == 0 {
			t.Errorf("%s: guarded %d times while it is ordered: %v", name, guarded.Load(), err)
		}
		cancel()
		client.Close()
		directory.Close()
	}
}

// Consul goes away: what is asked of it fails soon, and works again when it is back.
func TestConsulAway(t *testing.T) {
	agent, ca := consultest.Start(t), newAuthority(t)
	r := newReplica(t, ca, agent)
	if err := r.obtain(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	agent.Kill()
	if _, err := r.storage.Load(t.Context(), "a"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load without Consul: %v", err)
	}
	if r.storage.Exists(t.Context(), "a") {
		t.Error("Exists without Consul")
	}
	if err := r.obtain(t.Context(), "b.example"); err == nil || ca.orders["b.example"] > 0 {
		t.Errorf("ordered without Consul: %v, %d", err, ca.orders["b.example"])
	}
}

// The leader of three servers is killed while three replicas want certificates.
func TestLeaderKilled(t *testing.T) {
	testkit.Soak(t)
	servers, ca := consultest.Servers(t, 3), newAuthority(t)
	const names = 30
	name := func(i int) string { return fmt.Sprintf("n%d.example", i) }
	var once sync.Once
	ca.hook = func(_ context.Context, n string) error {
		if n == name(names/2) {
			once.Do(func() {
				for _, s := range servers {
					if s.IsLeader() {
						s.Kill()
						return
					}
				}
				t.Error("no leader to kill")
			})
		}
		return nil
	}
	began := time.Now()
	var all sync.WaitGroup
	for range 3 {
		r := newReplica(t, ca, servers...)
		all.Go(func() {
			for i := range names {
				// As the manager of orders does: again, until there is one.
				testkit.Within(t, 3*time.Minute, name(i), func() bool { return r.obtain(t.Context(), name(i)) == nil })
			}
		})
	}
	all.Wait()
	var twice int
	for i := range names {
		if ca.orders[name(i)] > 1 {
			twice++
		}
		if ca.orders[name(i)] == 0 {
			t.Errorf("%s was not ordered", name(i))
		}
	}
	testkit.Figure(t, "certificates over three servers, leader killed", "%d names in %s, %d ordered twice", names, time.Since(began).Round(time.Second), twice)
	if twice > 1 { // the one whose lock was in doubt
		t.Errorf("%d names were ordered twice", twice)
	}
	s := newReplica(t, ca, servers...).storage
	if keys, err := s.client.Keys(t.Context(), s.lockKey(""), ""); err != nil || len(keys) > 0 {
		t.Errorf("locks are left: %v, %v", keys, err)
	}
}
