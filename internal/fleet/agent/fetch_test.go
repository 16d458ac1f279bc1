package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/fleet/agent/report"
)

// round answers requests without a network.
type round func(*http.Request) (*http.Response, error)

func (f round) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answerOf(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func fetcher(url string, f round) *Agent {
	return &Agent{o: Options{Name: "127.0.0.1", URL: url, Timeout: 2 * time.Minute, Retries: 3, Client: &http.Client{Transport: f}, Log: io.Discard}}
}

func TestFetchTriesAgain(t *testing.T) {
	for _, c := range []struct {
		answers []int // one after the other; 0 breaks the connection
		want    string
		at      []time.Duration // of the requests
	}{
		{[]int{200}, "", []time.Duration{0}},
		{[]int{0, 503, 200}, "", []time.Duration{0, 1, 3}},
		{[]int{429, 408, 500, 200}, "", []time.Duration{0, 1, 3, 7}},
		{[]int{503, 503, 503, 503, 200}, "answers 503", []time.Duration{0, 1, 3, 7}},
		{[]int{404, 200}, "has no configuration of this name", []time.Duration{0}},
		{[]int{401, 200}, "token", []time.Duration{0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			var at []time.Duration
			a := fetcher("http://control/haproxy/", func(*http.Request) (*http.Response, error) {
				at = append(at, time.Since(begun)/time.Second)
				status := c.answers[len(at)-1]
				if status == 0 {
					return nil, errors.New("reset")
				}
				return answerOf(status, "text")
			})
			got, err := a.fetch(t.Context())
			if c.want == "" && (err != nil || string(got.content) != "text") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v: %q, %v", c.answers, got.content, err)
			}
			if !slices.Equal(at, c.at) {
				t.Errorf("%v: asked at %v s, want %v s", c.answers, at, c.at)
			}
		})
	}
}

// A control server that never answers costs the deadline and no more.
func TestFetchDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := fetcher("http://control/", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		begun := time.Now()
		if _, err := a.fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != a.o.Timeout {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

func TestGet(t *testing.T) {
	var asked *http.Request
	two := `"` + report.Digest([]byte("text")) + `"`
	a := fetcher("https://ops:secret@control/haproxy/", func(r *http.Request) (*http.Response, error) {
		asked = r
		if r.Header.Get("If-None-Match") == `"one"` {
			return answerOf(http.StatusNotModified, "")
		}
		return answerOf(http.StatusOK, "text", "ETag", two)
	})
	a.o.Token, a.o.Name = "token", "2001:db8::1"
	got, err := a.get(t.Context(), "", 0)
	if err != nil || string(got.content) != "text" || got.etag != two || asked.URL.RawQuery != "" || asked.URL.Path != "/haproxy/2001:db8::1" || asked.Header.Get("Authorization") == "" {
		t.Errorf("%+v, %v; asked %s", got, err, asked.URL)
	}
	got, err = a.get(t.Context(), `"one"`, time.Minute)
	if err != nil || got.content != nil || got.etag != `"one"` || asked.URL.RawQuery != "wait=1m0s" {
		t.Errorf("%+v, %v; asked %s", got, err, asked.URL)
	}
	a.o.URL = "http://control/get?name="
	if _, err = a.get(t.Context(), "", time.Minute); err != nil || asked.URL.RawQuery != "name=2001:db8::1&wait=1m0s" {
		t.Errorf("%v; asked %s", err, asked.URL)
	}
	for body, want := range map[string]string{"": "is empty", strings.Repeat("x", report.MaxContent+1): "larger than 16 MiB"} {
		a := fetcher("http://control/", func(*http.Request) (*http.Response, error) { return answerOf(http.StatusOK, body) })
		if _, err := a.get(t.Context(), "", 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
	}
}

func TestGetComparesTheDigest(t *testing.T) {
	for body, tag := range map[string]string{"right": report.Digest([]byte("right")), "wrong": report.Digest([]byte("right")), "other": "5d96a1f4-1b2"} {
		a := fetcher("http://control/", func(*http.Request) (*http.Response, error) { return answerOf(http.StatusOK, body, "ETag", `"`+tag+`"`) })
		if got, err := a.get(t.Context(), "", 0); (err != nil) != (body == "wrong") || (got.etag != "") != (body == "right") {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

// Passwords and tokens of the URL are told to nobody.
func TestFetchTellsNoSecret(t *testing.T) {
	log := &output{}
	for _, url := range []string{"http://ops:secret@control/haproxy/", "http://control/haproxy/?token=secret&name=", "ops:secret@control", "http://ops:secret@[/", "ftp://ops:secret@control/", ""} {
		a := fetcher(url, func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })
		a.o.Log, a.o.Retries = log, 0
		if _, err := a.Update(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "http://control/haproxy/127.0.0.1") {
		t.Errorf("log:\n%s", log)
	}
}

func TestNewClient(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "plain") }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	c, err := NewClient("", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(secure.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger's certificate: %v", err)
	}
	c.Transport = secure.Client().Transport
	if _, err := c.Get(secure.URL); err == nil || !strings.Contains(err.Error(), "away from https") {
		t.Errorf("a redirect to http: %v", err)
	}
	for _, o := range [][3]string{{"/nonexistent"}, {1: "/nonexistent"}, {2: "/nonexistent"}} {
		if _, err := NewClient(o[0], o[1], o[2]); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// A control server that waits is asked again at once, one that answers at once after the
// interval, one that is away ever more seldom; what is the same is not handed
// over twice.
func TestFollowPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []int
		a := fetcher("http://control/", func(r *http.Request) (*http.Response, error) {
			at = append(at, int(time.Since(begun)/time.Second))
			switch n := len(at); {
			case n == 1:
				return answerOf(http.StatusOK, "one", "ETag", `"`+report.Digest([]byte("one"))+`"`)
			case n <= 3: // it waits for news
				time.Sleep(time.Minute)
				return answerOf(http.StatusNotModified, "")
			case n <= 5: // it does not
				return answerOf(http.StatusOK, "one")
			case n <= 9:
				return nil, errors.New("away")
			case n == 10:
				return answerOf(http.StatusOK, "two")
			default:
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		a.o.Dir, a.o.Interval = t.TempDir(), 30*time.Second
		ctx, cancel := context.WithCancel(t.Context())
		news := make(chan fetched)
		done := make(chan struct{})
		go func() { a.follow(ctx, news); close(done) }()
		if got := <-news; string(got.content) != "one" {
			t.Errorf("first %q", got.content)
		}
		if got := <-news; string(got.content) != "two" {
			t.Errorf("then %q", got.content)
		}
		cancel()
		<-done
		want := []int{0, 0, 60, 120, 150, 180, 182, 186, 194, 210}
		if !slices.Equal(at[:min(len(at), len(want))], want) {
			t.Errorf("asked at %v s, want %v s", at, want)
		}
	})
}
