package gzipped

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/klauspost/compress/gzip"
)

// TestAcceptEncodingWeights: gzip counts by its own weight, else by that of the star,
// and never against the client's wish for the plain form (RFC 9110, 12.5.3).
func TestAcceptEncodingWeights(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip":                         true,
		"GZIP;Q=0.5":                   true,
		"x-gzip":                       true,
		"*":                            true,
		"br, *;q=0.1":                  true,
		"gzip;q=1.0, identity; q=0.5":  true,
		"deflate, gzip ; q = 0.1":      true,
		"":                             false,
		"br":                           false,
		"identity":                     false,
		"gzip;q=0":                     false,
		"gzip;q=0.000, *":              false,
		"*;q=0.5, gzip;q=0":            false,
		"*;q=0":                        false,
		"gzip;q=0.2, identity":         false,
		"gzip;q=many":                  false,
		"gzip;q=NaN":                   false,
		"gzip;q=-1":                    false,
		"*;q=0.5, identity;q=0.6":      false,
		"compress;q=0.5, bgzip;q=1, q": false,
	} {
		if got := Accepts([]string{header}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	if Accepts([]string{"*;q=0.5", "gzip;q=0"}) {
		t.Error("several lines are not one list")
	}
}

// TestGzipWritersAreReused: a writer that comes back in the middle of an answer
// leaves nothing of it in the next one.
func TestGzipWritersAreReused(t *testing.T) {
	pool := NewWriters()
	for i := range 20 {
		want := strings.Repeat(string(rune('a'+i)), 100_000)
		b := NewBody(io.NopCloser(strings.NewReader(want)), i%2 == 0, pool)
		if i%3 == 0 {
			if _, err := b.Read(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		} else {
			packed, err := io.ReadAll(b)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(z); err != nil || string(got) != want {
				t.Fatalf("answer %d: %d bytes, want %d (%v)", i, len(got), len(want), err)
			}
		}
		for range 2 { // the second time does nothing
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Read(make([]byte, 1)); b.out.Len() == 0 && err == nil {
			t.Fatal("a closed body can be read")
		}
	}
}

// TestGzipPoolKeepsNoAnswer: a writer that waits for its next answer does not hold on
// to the last one, and what hangs on it.
func TestGzipPoolKeepsNoAnswer(t *testing.T) {
	b := NewBody(io.NopCloser(strings.NewReader("text")), true, NewWriters())
	if _, err := b.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	gz, answer := b.gz, weak.Make(b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if answer.Value() != nil {
		t.Error("the writer holds on to the answer")
	}
	runtime.KeepAlive(gz)
}
