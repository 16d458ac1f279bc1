//go:build !race

package embedded

import (
	"net/http"
	"runtime"
	"testing"
)

// The race detector takes memory of its own and empties pools.

// TestPlainRequestTakesLittleMemory: the head of the request, that of the answer, and the
// ID are all that a plain request takes, which are texts that may be kept. A body that
// comes with the head takes none.
func TestPlainRequestTakesLittleMemory(t *testing.T) {
	for name, text := range map[string]string{"GET": get, "POST": post} {
		ask := plain(t, 1<<10, text)
		for range 10 {
			ask()
		}
		if n := testing.AllocsPerRun(300, ask); n > 4 {
			t.Errorf("%s: memory is taken %v times", name, n)
		}
	}
}

// TestPlainRequestOfHTTP2TakesLittleMemory: a request without a body has none to be copied.
func TestPlainRequestOfHTTP2TakesLittleMemory(t *testing.T) {
	s := newSite(t, Options{})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.serve("a.example", newApp(t, func(http.ResponseWriter, *http.Request) {}).addr())
	s.apply()
	client := s.client("https", true)
	ask := func() {
		res, err := client.Get("https://a.example/")
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != 200 || res.ProtoMajor != 2 {
			t.Fatalf("%s over %s", res.Status, res.Proto)
		}
	}
	ask()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const requests = 100
	for range requests {
		ask()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / requests; n > 32<<10 { // client and endpoint included
		t.Errorf("%d bytes are taken for each", n)
	}
}
