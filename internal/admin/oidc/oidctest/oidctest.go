// Package oidctest is an issuer of OpenID Connect for tests: it lets everybody in at once,
// checks what a client has to show, and can be made to answer wrongly.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The client that the issuer knows.
const (
	ClientID = "fairway"
	Secret   = "hunter2-client-secret"
)

// Issuer is the issuer. Its fields may be set between two sign-ins.
type Issuer struct {
	// URL is its name.
	URL string
	// Claims are what it says of the person in the ID token, UserInfo elsewhere.
	Claims, UserInfo map[string]any
	// Edit changes the ID token before it is signed; nil for nothing.
	Edit func(claims map[string]any)
	// Forge signs with a key that the issuer does not show.
	Forge bool
	// Methods are how it says that clients show their secret, of which it takes the first;
	// nil says nothing and takes all.
	Methods []string
	// UserInfoStatus is the status of its answer to userinfo; zero is 200.
	UserInfoStatus int
	// Deny answers with an error in the place of a code.
	Deny string

	signer, forger jose.Signer
	key            *ecdsa.PrivateKey
	server         *httptest.Server
	asked          atomic.Int64

	mu    sync.Mutex
	codes map[string]url.Values // the questions that they answer
}

// New starts an issuer that ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{codes: map[string]url.Values{}}
	i.key, i.signer = newSigner(t)
	_, i.forger = newSigner(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if i.UserInfoStatus != 0 {
			http.Error(w, "no: "+r.Header.Get("Authorization"), i.UserInfoStatus)
			return
		}
		answer(w, http.StatusOK, i.UserInfo)
	})
	i.server = httptest.NewServer(mux)
	i.URL = i.server.URL
	t.Cleanup(i.Close)
	return i
}

// Redeemed is how often it was asked for tokens.
func (i *Issuer) Redeemed() int { return int(i.asked.Load()) }

// Close makes it answer no more.
func (i *Issuer) Close() { i.server.Close() }

func newSigner(t testing.TB) (*ecdsa.PrivateKey, jose.Signer) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "one"))
	if err != nil {
		t.Fatal(err)
	}
	return key, signer
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	said := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"userinfo_endpoint": i.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256"},
	}
	if i.Methods != nil {
		said["token_endpoint_auth_methods_supported"] = i.Methods
	}
	answer(w, http.StatusOK, said)
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || q.Get("nonce") == "" {
		http.Error(w, "bad question", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {i.URL}, "session_state": {"x"}}
	if i.Deny != "" {
		back.Set("error", i.Deny)
	} else {
		code := rand.Text()
		i.mu.Lock()
		i.codes[code] = q
		i.mu.Unlock()
		back.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	method := "client_secret_basic"
	id, secret, _ := r.BasicAuth()
	if id == "" {
		method, id, secret = "client_secret_post", r.FormValue("client_id"), r.FormValue("client_secret")
	}
	if id != ClientID || secret != Secret || i.Methods != nil && method != i.Methods[0] {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client", "error_description": "wrong: " + secret})
		return
	}
	i.mu.Lock()
	q, ok := i.codes[r.FormValue("code")]
	delete(i.codes, r.FormValue("code"))
	i.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) || q.Get("redirect_uri") != r.FormValue("redirect_uri") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{
		"iss": i.URL, "aud": ClientID, "sub": "1234", "nonce": q.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	}
	maps.Copy(claims, i.Claims)
	if i.Edit != nil {
		i.Edit(claims)
	}
	signed, err := i.sign(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "hunter2-access", "token_type": "Bearer", "expires_in": 300, "id_token": signed})
}

func (i *Issuer) sign(claims map[string]any) (string, error) {
	text, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	signer := i.signer
	if i.Forge {
		signer = i.forger
	}
	signed, err := signer.Sign(text)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	return signed.CompactSerialize()
}
