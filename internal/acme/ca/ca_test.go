package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// authority refuses every order by a reason for each, in turn.
type authority struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []string // problem documents; the last one stays
	replaces []string // what orders have said
	accounts int
}

func newAuthority(t *testing.T, answers ...string) *authority {
	a := &authority{answers: answers}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		w.Header().Set("Replay-Nonce", "bm9uY2U")
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/dir":
			_ = json.NewEncoder(w).Encode(map[string]string{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order", "renewalInfo": a.URL + "/info"})
		case "/account":
			a.accounts++
			w.Header().Set("Location", a.URL+"/account/1")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"status":"valid"}`))
		case "/order":
			var sent struct{ Payload string }
			var order struct{ Replaces string }
			_ = json.NewDecoder(r.Body).Decode(&sent)
			text, _ := base64.RawURLEncoding.DecodeString(sent.Payload)
			_ = json.Unmarshal(text, &order)
			a.replaces = append(a.replaces, order.Replaces)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(a.answers[0]))
			if len(a.answers) > 1 {
				a.answers = a.answers[1:]
			}
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) client(t *testing.T, storage certmagic.Storage) *Client {
	c, err := New(Options{Directory: a.URL + "/dir", Storage: storage, Challenges: []string{HTTP01}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

const (
	unauthorized = `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"not yours","status":403}`
	rateLimited  = `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":403}`
)

// TestReplacesIsNoCondition: an authority that refuses an order for the certificate that it
// replaces is asked once more, without; one that refuses for another reason is not asked more.
func TestReplacesIsNoCondition(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), AuthorityKeyId: []byte{1, 2}, SubjectKeyId: []byte{1, 2}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	leaf.AuthorityKeyId = []byte{1, 2}
	for name, c := range map[string]struct {
		answers []string
		leaf    *x509.Certificate
		attempt int
		want    []bool // whether orders have named it
		kind    Kind
	}{
		"of another account":  {[]string{unauthorized, rateLimited}, leaf, 0, []bool{true, false}, Limited},
		"always":              {[]string{unauthorized}, leaf, 2, []bool{true, false}, Refused},
		"every other attempt": {[]string{unauthorized}, leaf, 1, []bool{false}, Refused},
		"too many":            {[]string{rateLimited}, leaf, 0, []bool{true}, Limited},
		"nothing replaced":    {[]string{unauthorized}, nil, 0, []bool{false}, Refused},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, c.answers...)
			_, err := a.client(t, &certmagic.FileStorage{Path: t.TempDir()}).Obtain(t.Context(), "a.example.com", c.leaf, c.attempt)
			f := &Failure{}
			if !errors.As(err, &f) || f.Kind != c.kind {
				t.Errorf("%v", err)
			}
			if len(a.replaces) != len(c.want) {
				t.Fatalf("orders that replace %q", a.replaces)
			}
			for i, want := range c.want {
				if (a.replaces[i] != "") != want {
					t.Errorf("order %d replaces %q", i, a.replaces[i])
				}
			}
		})
	}
}

// loading is a storage with a Load of its own.
type loading struct {
	certmagic.Storage
	load func(ctx context.Context) ([]byte, error)
}

func (l loading) Load(ctx context.Context, _ string) ([]byte, error) { return l.load(ctx) }

// TestAccountStays: while the storage cannot say whether there is an account none is made;
// one that is damaged is made anew.
func TestAccountStays(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		err      error
		accounts int
	}{
		"storage away": {err: errors.New("connection refused"), accounts: 0},
		"damaged":      {text: "{", accounts: 1},
	} {
		a := newAuthority(t, unauthorized)
		s := loading{&certmagic.FileStorage{Path: t.TempDir()}, func(context.Context) ([]byte, error) { return []byte(c.text), c.err }}
		_, err := a.client(t, s).Obtain(t.Context(), "a.example.com", nil, 0)
		f := &Failure{}
		if !errors.As(err, &f) || a.accounts != c.accounts || c.err != nil && f.Kind != Unavailable {
			t.Errorf("%s: %d accounts, %v", name, a.accounts, err)
		}
	}
}

// TestStrangersDoNotFloodTheStorage: of many who ask for challenges few reach the storage, and
// those that this process has are answered all the same.
func TestStrangersDoNotFloodTheStorage(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := 0
		s := loading{&certmagic.FileStorage{Path: dir}, func(ctx context.Context) ([]byte, error) {
			mu.Lock()
			asked++
			mu.Unlock()
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c, err := New(Options{Directory: "https://ca/dir", Storage: s, Challenges: []string{TLSALPN01}})
		if err != nil {
			t.Fatal(err)
		}
		ch := acme.Challenge{Type: TLSALPN01, Token: "t", KeyAuthorization: "t.k", Identifier: acme.Identifier{Type: "dns", Value: "a.example.com"}}
		if err := (solver{c}).Present(t.Context(), ch); err != nil {
			t.Fatal(err)
		}
		for range 2 * maxLookups {
			go func() { _, _ = c.Certificate(t.Context(), "stranger.example.com") }() // refused in any case
		}
		synctest.Wait()
		mu.Lock()
		if asked != maxLookups {
			t.Errorf("the storage was asked %d times at once", asked)
		}
		mu.Unlock()
		if _, err := c.Certificate(t.Context(), "a.example.com"); err != nil {
			t.Error(err)
		}
	})
}
