package haproxy

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// TestRefusedLoginsCostTheSame: an answer that refuses a password takes the time of the
// dearest hash where the name does not exist or has a quick one, and nothing but the
// right password of a name lets it in.
func TestRefusedLoginsCostTheSame(t *testing.T) {
	t.Parallel()
	const cost, least = 12, 20 * time.Millisecond // it takes a tenth of a second and more
	hash, err := bcrypt.GenerateFromPassword([]byte("slow secret"), cost)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Logger: quiet(t)})
	users := []route.User{{Name: "slow", Hash: string(hash)}, {Name: "quick", Hash: userhash.Of("salt", "quick secret")}}
	s.serve("a.example", startEndpoint(t, "a"))
	s.route("a.example", "a.example", func(r *route.Route) {
		r.Filters = []route.Filter{{BasicAuth: &route.BasicAuth{Realm: "x", Users: users}}}
	})
	s.apply()
	client := s.client()
	ask := func(name, password string) (int, time.Duration) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.engine.Addr("http").String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "a.example"
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
		began := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode, time.Since(began)
	}
	for _, who := range []struct{ name, password string }{
		{"slow", "wrong"}, {"quick", "wrong"}, {"quick", "slow secret"}, {"nobody", "slow secret"}, {"nobody", "wrong"}, {"", ""}, {"\x7f", "slow secret"},
	} {
		if status, took := ask(who.name, who.password); status != 401 || took < least {
			t.Errorf("%q with %q: %d after %v, want 401 after %v at least", who.name, who.password, status, took, least)
		}
	}
	for name, password := range map[string]string{"slow": "slow secret", "quick": "quick secret"} {
		for range 2 {
			if status, _ := ask(name, password); status != 200 {
				t.Errorf("%s is not let in: %d", name, status)
			}
		}
	}
}
