package access

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"fairway/internal/api"
	"fairway/internal/atomicfile"
)

// FirstTokenFile in Options.Dir has the first token; only Fairway's user may read it.
const FirstTokenFile = "admin-token"

const (
	tokensFile   = "tokens.json" // in Options.Dir: the tokens' names, roles and sums
	maxTokens    = 1000
	maxTokenDays = 3650
)

var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Tokens are the tokens with roles. Only sums of them are kept, in memory as on
// disk. The zero value keeps none on disk.
type Tokens struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	known []keptToken // sorted by name
}

// keptToken is a token as it is kept.
type keptToken struct {
	api.Token
	// Sum is the SHA-256 of the token in hexadecimal.
	Sum string `json:"sha256"`
}

// openTokens reads the tokens in dir; without dir there are none on disk. A file
// that cannot be read is an error and is left as it is.
func openTokens(dir string, now func() time.Time) (*Tokens, error) {
	t := &Tokens{now: now}
	if dir == "" {
		return t, nil
	}
	t.path = filepath.Join(dir, tokensFile)
	data, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &t.known)
	}
	if err != nil {
		return nil, fmt.Errorf("tokens: %s: %w", t.path, err)
	}
	return t, nil
}

// first makes a token for admin, for this user to read, unless there are tokens.
func (t *Tokens) first() (path string, err error) {
	if t.path == "" || len(t.List()) > 0 {
		return "", nil
	}
	made, err := t.Create(api.NewToken{Name: "admin", Role: api.RoleAdmin}, "")
	if err != nil {
		return "", err
	}
	path = filepath.Join(filepath.Dir(t.path), FirstTokenFile)
	if err := atomicfile.Write(path, []byte(made.Secret+"\n"), 0o600); err != nil {
		return "", err
	}
	return path, nil
}

// newSecret is 32 random bytes as text.
func newSecret() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return base64.RawURLEncoding.EncodeToString(random)
}

func sumOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Create makes a token and keeps its sum.
func (t *Tokens) Create(n api.NewToken, by string) (api.MadeToken, error) {
	switch {
	case !tokenName.MatchString(n.Name):
		return api.MadeToken{}, api.Errorf(http.StatusBadRequest, "name: want 1 to 64 letters, digits, dots, dashes and underscores")
	case !slices.Contains(api.Roles(), n.Role):
		return api.MadeToken{}, api.Errorf(http.StatusBadRequest, "role: want viewer, operator or admin")
	case n.Days < 0 || n.Days > maxTokenDays:
		return api.MadeToken{}, api.Errorf(http.StatusBadRequest, "days: want 1 to %d, or none", maxTokenDays)
	}
	made := api.MadeToken{
		Token:  api.Token{Name: n.Name, Role: n.Role, Created: t.now().UTC().Truncate(time.Second), By: by},
		Secret: api.TokenPrefix + newSecret(),
	}
	if n.Days > 0 {
		made.Expires = made.Created.AddDate(0, 0, n.Days)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i, taken := t.index(n.Name)
	if taken {
		return api.MadeToken{}, api.Errorf(http.StatusConflict, "there is a token %q already", n.Name)
	}
	if len(t.known) >= maxTokens {
		return api.MadeToken{}, api.Errorf(http.StatusConflict, "there are %d tokens already; revoke some", maxTokens)
	}
	return made, t.keep(slices.Insert(slices.Clone(t.known), i, keptToken{made.Token, sumOf(made.Secret)}))
}

// Revoke forgets a token, and with it the sessions that began with it.
func (t *Tokens) Revoke(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.index(name)
	if !ok {
		return api.Errorf(http.StatusNotFound, "no token %q", name)
	}
	return t.keep(slices.Delete(slices.Clone(t.known), i, i+1))
}

func (t *Tokens) index(name string) (int, bool) {
	return slices.BinarySearchFunc(t.known, name, func(k keptToken, name string) int { return cmp.Compare(k.Name, name) })
}

// keep makes known what holds, on disk first.
func (t *Tokens) keep(known []keptToken) error {
	if t.path != "" {
		data, err := json.MarshalIndent(known, "", "  ")
		if err == nil {
			err = atomicfile.Write(t.path, data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("tokens: %w", err)
		}
	}
	t.known = known
	return nil
}

// List returns the tokens by name.
func (t *Tokens) List() []api.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]api.Token, len(t.known))
	for i, k := range t.known {
		list[i] = k.Token
	}
	return list
}

// bySum returns the token with this sum, which callers know: timing reveals nothing.
func (t *Tokens) bySum(sum string) (api.Token, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.known {
		if k.Sum == sum && (k.Expires.IsZero() || t.now().Before(k.Expires)) {
			return k.Token, true
		}
	}
	return api.Token{}, false
}
