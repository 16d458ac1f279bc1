//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// faults stands between Fairway and an engine's socket and breaks the
// connection on command.
type faults struct {
	t      *testing.T
	path   string // the socket that it listens on
	engine string // the socket behind it

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
	gate  chan struct{} // closed while bytes may pass
	stall bool
}

func startFaults(t *testing.T, engine string) *faults {
	t.Helper()
	dir, err := makeDir() // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	f := &faults{t: t, path: filepath.Join(dir, "docker.sock"), engine: engine, conns: map[net.Conn]bool{}, gate: make(chan struct{})}
	close(f.gate)
	f.listen()
	t.Cleanup(func() {
		f.cut()
		f.resume()
		os.RemoveAll(dir)
	})
	return f
}

func (f *faults) url() string { return "unix://" + f.path }

func (f *faults) listen() {
	f.t.Helper()
	ln, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.ln = ln
	f.mu.Unlock()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
}

func (f *faults) serve(c net.Conn) {
	f.open()
	e, err := net.Dial("unix", f.engine)
	if err != nil {
		c.Close()
		return
	}
	f.mu.Lock()
	f.conns[c], f.conns[e] = true, true
	f.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { f.pass(e, c) })
	both.Go(func() { f.pass(c, e) })
	both.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
	delete(f.conns, e)
}

// open waits until bytes may pass.
func (f *faults) open() {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	<-gate
}

func (f *faults) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		f.open()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut refuses new connections and breaks those there are: the engine is down.
func (f *faults) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.ln.Close()
	for c := range f.conns {
		_ = c.Close()
	}
}

// freeze accepts connections and lets no byte through: the engine is stuck.
func (f *faults) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stall {
		f.stall, f.gate = true, make(chan struct{})
	}
}

// resume ends freeze.
func (f *faults) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stall {
		f.stall = false
		close(f.gate)
	}
}
