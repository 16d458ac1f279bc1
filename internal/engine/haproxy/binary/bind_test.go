package binary

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/testkit"
)

func describe(b Bind) string {
	text := fmt.Sprintf("%d %s %s", b.Line, b.Section, b)
	for word, is := range map[string]bool{"only6": b.Only6, "free": b.Free, "elsewhere: " + b.Elsewhere: b.Elsewhere != ""} {
		if is {
			text += " " + word
		}
	}
	return text
}

func TestBinds(t *testing.T) {
	text, err := os.ReadFile("testdata/binds.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "\n")
	for _, block := range strings.Split(text2, "----\n") {
		config, want, _ := strings.Cut(block, "=>\n")
		var got strings.Builder
		for _, b := range Binds(config, func(name string) string { return map[string]string{"HOST": "192.0.2.1"}[name] }) {
			fmt.Fprintln(&got, describe(b))
		}
		if got.String() != want {
			t.Errorf("%s\nbinds\n%swant\n%s", config, got.String(), want)
		}
	}
}

func FuzzBinds(f *testing.F) {
	f.Add("frontend a\n bind :80,[::]:443 ssl\n")
	f.Add("global\n setenv A b\nlisten b\n bind \"$A:1-3\"\n bind unix@/x\n.if 1\n.endif\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		for _, b := range Binds(text, nil) {
			known := b.Network == "unix" && b.Path != "" || (b.Network == "tcp" || b.Network == "udp") && b.Address.IsValid() && b.Address.Port() > 0
			if !known || b.Line < 1 || b.Line > lines {
				t.Errorf("%q: %+v", text, b)
			}
		}
	})
}

func wanted(address string) Bind {
	return Bind{Line: 1, Section: "frontend x", Network: "tcp", Address: netip.MustParseAddrPort(address)}
}

// taken asks about one address and returns the reason.
func taken(t *testing.T, o TakenOptions) string {
	t.Helper()
	conflicts, err := Taken(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(conflicts) == 0 {
		return ""
	}
	return conflicts[0].String()
}

func TestTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	for _, want := range []string{address, "0.0.0.0:" + port} {
		reason := taken(t, TakenOptions{Wanted: []Bind{wanted(want)}})
		if !strings.Contains(reason, "in use by ") || !strings.Contains(reason, fmt.Sprintf("(process %d)", os.Getpid())) || !strings.Contains(reason, "(line 1, frontend x)") {
			t.Errorf("%s: %q does not say who has it", want, reason)
		}
	}
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted("127.0.0.9:" + port)}}); reason != "" {
		t.Errorf("another address of the same port: %s", reason)
	}
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted("0.0.0.0:" + port)}, Pids: []int{os.Getpid()}}); reason != "" {
		t.Errorf("held by the process that asks: %s", reason)
	}
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted(address)}, Held: []Bind{wanted(address)}}); reason != "" {
		t.Errorf("held already: %s", reason)
	}
	// A process that cannot be looked into, but whose configuration holds it.
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted(address)}, Held: []Bind{wanted("0.0.0.0:" + port)}, Pids: []int{1 << 30}}); reason != "" {
		t.Errorf("held as all addresses: %s", reason)
	}
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted("203.0.113.7:80")}}); !strings.Contains(reason, "does not have the address") {
		t.Errorf("an address that is not there: %q", reason)
	}
	free := wanted("203.0.113.7:80")
	free.Free = true
	if reason := taken(t, TakenOptions{Wanted: []Bind{free}}); reason != "" {
		t.Errorf("transparent: %q", reason)
	}
	l.Close()
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted(address)}}); reason != "" {
		t.Errorf("free again: %s", reason)
	}
}

func TestTakenOthers(t *testing.T) {
	six, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	defer six.Close()
	_, port, _ := net.SplitHostPort(six.Addr().String())
	if reason := taken(t, TakenOptions{Wanted: []Bind{wanted("127.0.0.1:" + port)}}); !strings.Contains(reason, "in use by") {
		t.Errorf("taken by :: for both families: %q", reason)
	}
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	b := Bind{Network: "udp", Address: netip.MustParseAddrPort(udp.LocalAddr().String())}
	if reason := taken(t, TakenOptions{Wanted: []Bind{b}}); !strings.Contains(reason, "in use by") {
		t.Errorf("udp: %q", reason)
	}
	dir := t.TempDir()
	if reason := taken(t, TakenOptions{Wanted: []Bind{{Network: "unix", Path: filepath.Join(dir, "x.sock")}}}); reason != "" {
		t.Errorf("a socket in a directory: %s", reason)
	}
	if reason := taken(t, TakenOptions{Wanted: []Bind{{Network: "unix", Path: filepath.Join(dir, "no", "x.sock")}}}); !strings.Contains(reason, "no such file or directory") {
		t.Errorf("a socket without a directory: %q", reason)
	}
}

// What HAProxy itself holds is seen as its own, also under another address.
func TestTakenByHAProxy(t *testing.T) {
	b, dir := program(t), t.TempDir()
	port := testkit.FreePort(t)
	config := minimal + "listen a\n bind 0.0.0.0:" + port + "\n"
	cmd := exec.Command(b.Path, "-db", "-f", write(t, dir, "a.cfg", config))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("haproxy does not listen")
		}
	}
	want := []Bind{wanted("127.0.0.1:" + port)}
	if reason := taken(t, TakenOptions{Wanted: want}); !strings.Contains(reason, fmt.Sprintf("in use by haproxy (process %d)", cmd.Process.Pid)) {
		t.Errorf("held by another: %q", reason)
	}
	if reason := taken(t, TakenOptions{Wanted: want, Pids: []int{cmd.Process.Pid}}); reason != "" {
		t.Errorf("held by itself: %q", reason)
	}
}

func TestParseSockets(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 0 100 0 0 10 0
   2: broken
`
	got := ParseSockets(text, "tcp")
	if len(got) != 1 || got[0].Bind.String() != "127.0.0.1:8080" || got[0].Inode != "12345" {
		t.Errorf("%+v", got)
	}
	address, ok := parseHexAddress("B80D01200000000067452301EFCDAB89:01BB")
	if !ok || address != netip.MustParseAddrPort("[2001:db8::123:4567:89ab:cdef]:443") {
		t.Errorf("%v, %v", address, ok)
	}
}
