package process

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLostQuestion: a question that a master loses while it starts anew costs little.
func TestLostQuestion(t *testing.T) {
	dir, err := os.MkdirTemp("", "fairway-process-") // short, as newStage
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "master.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		refused := 0 // as before the socket is there: that costs no patience
		for lost := false; ; {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1024)
			n, _ := conn.Read(buf)
			answer := ""
			switch question := string(buf[:n]); {
			case question != "" && refused < 5:
				refused++
			case question != "" && !lost:
				lost = true
				defer conn.Close() // it stays open, without an answer
				continue
			case strings.HasPrefix(question, "show proc"):
				answer = "1 master 0 [failed: 0] 0d00h00m01s 2.6.12\n# workers\n2 worker 0 0d00h00m01s 2.6.12\n"
			case question != "":
				answer = "2.6.12\n"
			}
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	begun := time.Now()
	p, err := Attach(t.Context(), Options{MasterSocket: path})
	if err != nil {
		t.Fatal(err)
	}
	p.Detach()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it is attached to after %v", took)
	}
}
