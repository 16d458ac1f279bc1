package access

import (
	"crypto/subtle"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"fairway/internal/api"
)

const (
	sessionIdle = 12 * time.Hour
	sessionLong = 7 * 24 * time.Hour
	maxSessions = 1000
	// Within signInWindow, one address may get maxSignIns tokens wrong.
	signInWindow = time.Minute
	maxSignIns   = 10
	maxAddresses = 4096
)

// sessions are the browsers that have signed in. They end with the process.
//
// A session has two halves. The cookie lets one read. Browsers send it to every
// port of the name, so that a program on another port of this machine may get to
// see it; therefore all that changes something also needs the key, which the
// browser keeps for this origin alone.
type sessions struct {
	now func() time.Time

	mu     sync.Mutex
	open   map[string]*session // by sum of the cookie
	failed map[netip.Prefix]*failures
}

type session struct {
	token string       // sum of the token it began with; empty for one of who
	who   api.Identity // of a person whom an issuer vouched for
	key   string       // sum of the key
	began time.Time
	last  time.Time
}

type failures struct {
	since time.Time
	n     int
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, open: map[string]*session{}, failed: map[netip.Prefix]*failures{}}
}

// begin opens a session for the owner of the token with this sum, or for who.
func (s *sessions) begin(token string, who api.Identity) (cookie, key string, err error) {
	cookie, key = newSecret(), newSecret()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for sum, open := range s.open {
		if open.over(now) {
			delete(s.open, sum)
		}
	}
	if len(s.open) >= maxSessions {
		return "", "", api.Errorf(http.StatusServiceUnavailable, "there are %d sessions already", maxSessions)
	}
	s.open[sumOf(cookie)] = &session{token: token, who: who, key: sumOf(key), began: now, last: now}
	return cookie, key, nil
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.last) > sessionIdle || now.Sub(s.began) > sessionLong || !s.who.Expires.IsZero() && now.After(s.who.Expires)
}

// of returns the sum of the token that a session began with, or whose it is, and whether key
// is its key. used keeps it from ending as idle.
func (s *sessions) of(cookie, key string, used bool) (token string, who api.Identity, keyed, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.open[sumOf(cookie)]
	now := s.now()
	if open == nil || open.over(now) {
		return "", who, false, false
	}
	if used {
		open.last = now
	}
	return open.token, open.who, subtle.ConstantTimeCompare([]byte(sumOf(key)), []byte(open.key)) == 1, true
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sumOf(cookie))
}

// try counts a token that may be wrong; false when an address may not sign in now.
func (s *sessions) try(from netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if f := s.failed[from]; f != nil && now.Sub(f.since) <= signInWindow {
		f.n++
		return f.n <= maxSignIns
	}
	if len(s.failed) >= maxAddresses {
		s.forget(now)
	}
	s.failed[from] = &failures{since: now, n: 1}
	return true
}

// forget makes room for a quarter of maxAddresses, so that a try costs no look at all of
// them: those whose window is over go, and if these are too few, others.
func (s *sessions) forget(now time.Time) {
	maps.DeleteFunc(s.failed, func(_ netip.Prefix, f *failures) bool { return now.Sub(f.since) > signInWindow })
	for p := range s.failed {
		if len(s.failed) <= maxAddresses*3/4 {
			return
		}
		delete(s.failed, p)
	}
}

// right takes back what try has counted: the token was right.
func (s *sessions) right(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.failed[from]; f != nil {
		f.n--
	}
}

// network is where a request came from, as far as one can have addresses at will.
func network(r *http.Request) netip.Prefix {
	addr, err := netip.ParseAddr(RemoteHost(r))
	if err != nil {
		return netip.Prefix{} // a unix socket: one for all
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // bits fit
	return p
}

// The prefix of the first makes browsers take it over TLS only, for this name alone.
const (
	secureCookie = "__Host-fairway"
	plainCookie  = "fairway"
)

func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return secureCookie
	}
	return plainCookie
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}
