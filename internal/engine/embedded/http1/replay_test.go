package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestReplayBody(t *testing.T) {
	read := func(r io.Reader, n int) string {
		b := make([]byte, n)
		m, _ := io.ReadFull(r, b)
		return string(b[:m])
	}
	b := NewReplay(strings.NewReader("hello world"))
	first := b.Reader()
	if got := read(first, 5); got != "hello" {
		t.Errorf("first: %q", got)
	}
	second := b.Reader()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("closed reader: %v", err)
	}
	if got, err := io.ReadAll(second); string(got) != "hello world" || err != nil {
		t.Errorf("second: %q %v", got, err)
	}
	if got, err := io.ReadAll(b.Reader()); string(got) != "hello world" || err != nil || b.lost.Load() {
		t.Errorf("third: %q %v", got, err)
	}

	// Too much for another attempt, but the one that reads goes on.
	big := bytes.Repeat([]byte("x"), maxReplay+1)
	b = NewReplay(bytes.NewReader(big))
	if got, err := io.ReadAll(b.Reader()); !bytes.Equal(got, big) || err != nil || !b.lost.Load() {
		t.Errorf("big: %d bytes, %v, lost %v", len(got), err, b.lost.Load())
	}
	if _, err := b.Reader().Read(make([]byte, 1)); !errors.Is(err, ErrLost) {
		t.Errorf("reading a lost body: %v", err)
	}
	// Settled bodies are not kept.
	b = NewReplay(strings.NewReader("hello world"))
	r := b.Reader()
	read(r, 5)
	b.Settle()
	if got := read(r, 6); got != " world" || !b.lost.Load() || b.kept != nil {
		t.Errorf("settled: %q, kept %q", got, b.kept)
	}
}
