package http1

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// gatheringLine is a line that gathers, and its other end.
func gatheringLine(t *testing.T) (*Line, *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	line, ok := NewLine(near).(*Line)
	if !ok {
		t.Skip("there are no lines on this system")
	}
	t.Cleanup(func() { _ = line.Close() })
	line.Gather()
	return line, far.(*net.TCPConn)
}

// TestGather: what is gathered comes whole and in order, also when the connection is closed
// behind it.
func TestGather(t *testing.T) {
	line, far := gatheringLine(t)
	var sent bytes.Buffer
	var writing sync.WaitGroup
	writing.Go(func() {
		defer line.Close()
		for range 500 { // less than sockets hold: what they do not take when it is closed is lost
			piece := bytes.Repeat([]byte{byte(rand.N(256))}, 1+rand.N(300))
			if rand.N(20) == 0 {
				piece = bytes.Repeat(piece, 1+rand.N(300))
			}
			sent.Write(piece)
			if n, err := line.Write(piece); n != len(piece) || err != nil {
				t.Errorf("wrote %d of %d: %v", n, len(piece), err)
				return
			}
			if rand.N(10) == 0 {
				pause()
			}
		}
	})
	_ = far.SetDeadline(time.Now().Add(30 * time.Second))
	got, err := io.ReadAll(far)
	writing.Wait()
	if err != nil || !bytes.Equal(got, sent.Bytes()) {
		t.Errorf("%d bytes came of %d: %v", len(got), sent.Len(), err)
	}
}

// TestGatherWritesAlone: nothing more need be written for what is there to go out.
func TestGatherWritesAlone(t *testing.T) {
	line, far := gatheringLine(t)
	_ = far.SetDeadline(time.Now().Add(30 * time.Second))
	for range 100 {
		_, _ = line.Write([]byte("ab"))
		_, _ = line.Write([]byte("c"))
		got := make([]byte, 3)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "abc" {
			t.Fatalf("%q came: %v", got, err)
		}
	}
	line.later.mu.Lock()
	defer line.later.mu.Unlock()
	if n := cap(line.later.out); n > gatherKept {
		t.Errorf("%d bytes of memory are kept", n)
	}
}

// TestGatherFails: a client that takes nothing more is given up in the time of a write, and
// later writes say why.
func TestGatherFails(t *testing.T) {
	line, _ := gatheringLine(t)
	_ = line.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	piece := make([]byte, 8<<10)
	for range 10_000 {
		if _, err := line.Write(piece); err != nil {
			if _, again := line.Write(piece); again == nil {
				t.Error("the next write succeeded")
			}
			return
		}
	}
	t.Error("all was taken")
}
