package embedded

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"fairway/internal/testkit"
)

// attackers are a process that attacks.
type attackers struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.Closer // they end with it
	done  chan struct{}
	rest  bytes.Buffer // what they say, to be read when they have ended
	ready atomic.Bool  // the slow ones are connected, the others are through, or they have failed
}

// The attackers' orders, in their environment.
const attackersOrders = "FAIRWAY_TEST_ATTACK"

// attack starts attackers, of n connections for each kind. Floods last so long.
func attack(t *testing.T, kinds []string, n int, lasts time.Duration, clear, secure string) *attackers {
	t.Helper()
	a := &attackers{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAttackers$"), done: make(chan struct{})}
	a.cmd.Env = append(os.Environ(), attackersOrders+"="+strings.Join([]string{strings.Join(kinds, ","), strconv.Itoa(n), lasts.String(), clear, secure}, ";"))
	a.cmd.Stderr = os.Stderr
	input, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.input = input
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(a.done)
		r := bufio.NewReader(output)
		for line, err := "", error(nil); err == nil && line != "ready\n"; {
			line, err = r.ReadString('\n')
		}
		a.ready.Store(true)
		_, _ = a.rest.ReadFrom(r)
	}()
	return a
}

// end ends them, and returns what they say.
func (a *attackers) end() string {
	_ = a.input.Close()
	<-a.done
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("attackers: %v", err)
	}
	said, _, _ := strings.Cut(a.rest.String(), "PASS")
	return said
}

// TestAttackers is the process that attacks.
func TestAttackers(t *testing.T) {
	orders := strings.Split(os.Getenv(attackersOrders), ";")
	if len(orders) != 5 {
		t.Skip("it attacks where another test starts it for that")
	}
	n, _ := strconv.Atoi(orders[1])
	lasts, _ := time.ParseDuration(orders[2])
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	if kinds := strings.Split(orders[0], ","); lasts > 0 {
		flood(kinds, n, lasts, orders[4])
		<-ended
	} else {
		beSlow(t, kinds, n, orders[3], orders[4], ended)
	}
}

// slowKind is a way to be slow.
type slowKind struct {
	begins       string
	secure, goes bool // over TLS; a byte comes now and then
}

func slowWays() map[string]slowKind {
	return map[string]slowKind{
		"header": {begins: "GET / HTTP/1.1\r\nHost: a.example\r\nX: ", goes: true},
		"body":   {begins: "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n", goes: true},
		"chunks": {begins: "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", goes: true},
		"reader": {begins: "GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n"},
		"hello":  {begins: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", secure: true},
	}
}

func slowKinds() []string { return slices.Sorted(maps.Keys(slowWays())) }

// beSlow keeps connections, which send a byte now and then where their kind does, until it
// gets its end.
func beSlow(t *testing.T, kinds []string, n int, clear, secure string, ended <-chan struct{}) {
	var readers []int
	goes, stays := []int{}, []int{}
	for _, name := range kinds {
		kind, to := slowWays()[name], clear
		if kind.secure {
			to = secure
		}
		fds := slowPeers(t, n, netip.MustParseAddrPort(to), kind.begins)
		switch {
		case name == "reader":
			readers = fds
		case kind.goes:
			goes = append(goes, fds...)
		default:
			stays = append(stays, fds...)
		}
	}
	fmt.Println("ready")
	pause := 50 * time.Millisecond
	if testkit.Soaking() {
		pause = time.Second
	}
	for tick := time.NewTicker(pause); ; {
		trickle(goes, true)
		trickle(stays, false)
		select {
		case <-tick.C:
			continue
		case <-ended:
		}
		break
	}
	whole := 0
	for _, fd := range readers {
		if left(fd) >= largeAnswer {
			whole++
		}
	}
	fmt.Println("whole answers:", whole)
}

// trickle sends a byte on each connection, where that goes on, and closes those that the other
// side has closed. It reports whether those are all.
func trickle(fds []int, goes bool) bool {
	var buf [512]byte
	all := true
	for i, fd := range fds {
		if fd < 0 {
			continue
		}
		all = false
		if goes {
			_ = syscall.Sendto(fd, []byte("x"), syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT, nil)
		}
		n, _, err := syscall.Recvfrom(fd, buf[:], syscall.MSG_DONTWAIT)
		if n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			_ = syscall.Close(fd)
			fds[i] = -1
		}
	}
	return all
}

// left is how much the other side has sent before it closed the connection.
func left(fd int) (total int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(fd, buf)
		if n <= 0 && !errors.Is(err, syscall.EINTR) {
			return total
		}
		total += max(n, 0)
	}
}

// slowPeers connects so many, which send how they begin.
func slowPeers(t *testing.T, n int, to netip.AddrPort, begins string) (fds []int) {
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			err = smallSegments(uintptr(fd))
		}
		if err == nil {
			err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		}
		if err == nil {
			err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
		}
		if err == nil {
			_, err = syscall.Write(fd, []byte(begins))
		}
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds
}

// floodWay writes frames until the connection takes no more.
type floodWay func(f *flooder) error

// flooder is a connection of HTTP/2.
type flooder struct {
	*http2.Framer
	out   *bufio.Writer
	block bytes.Buffer
	coder *hpack.Encoder
	next  uint32 // stream
	until time.Time
}

// open begins a request, with more in the block of its fields, and says on which stream.
func (f *flooder) open(method, path string, whole bool, more ...byte) (stream uint32, err error) {
	stream = f.next
	f.next += 2
	f.block.Reset()
	for _, field := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "a.example"}, {":path", path}} {
		_ = f.coder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	_, _ = f.block.Write(more)
	return stream, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: whole})
}

// unread is the way of who reads no answers.
const unread = "settings that are not read"

func floodWays() map[string]floodWay {
	return map[string]floodWay{
		"rapid reset": func(f *flooder) error {
			stream, err := f.open("GET", "/", true)
			return errors.Join(err, f.WriteRSTStream(stream, http2.ErrCodeCancel))
		},
		"made you reset": func(f *flooder) error {
			stream, err := f.open("POST", "/", false)
			return errors.Join(err, f.WriteWindowUpdate(stream, 0))
		},
		unread: func(f *flooder) error {
			return errors.Join(f.WriteSettings(), f.WritePing(false, [8]byte{}))
		},
		"continuation": func(f *flooder) error {
			if f.next == 1 {
				f.next += 2
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			}
			f.block.Reset()
			_ = f.coder.WriteField(hpack.HeaderField{Name: "x-a", Value: strings.Repeat("a", 1000), Sensitive: true})
			return f.WriteContinuation(1, false, f.block.Bytes())
		},
		"empty data": func(f *flooder) error {
			if f.next == 1 {
				_, _ = f.open("POST", "/", false)
			}
			return f.WriteData(1, false, nil)
		},
		"window of 0": func(f *flooder) error {
			if f.next == 1 {
				_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize})
			}
			if f.next > 200 {
				time.Sleep(min(10*time.Millisecond, time.Until(f.until)))
				return nil
			}
			_, err := f.open("GET", "/large", true)
			return err
		},
		"fields by reference": func(f *flooder) error {
			f.block.Reset()
			large := hpack.HeaderField{Name: "x-a", Value: strings.Repeat("a", 3900)}
			_ = f.coder.WriteField(large)
			first := f.block.Len()
			_ = f.coder.WriteField(large)
			block := bytes.Clone(f.block.Bytes())
			_, err := f.open("GET", "/", true, append(block, bytes.Repeat(block[first:], 4000)...)...)
			return err
		},
	}
}

func floodKinds() []string { return slices.Sorted(maps.Keys(floodWays())) }

// flood floods, and says how often each way was gone, and on how many connections.
func flood(kinds []string, n int, lasts time.Duration, to string) {
	var flooding sync.WaitGroup
	until := time.Now().Add(lasts)
	said := make([]string, len(kinds))
	for i, kind := range kinds {
		var steps, conns atomic.Int64
		var kindOver sync.WaitGroup
		for range n {
			kindOver.Go(func() {
				for time.Now().Before(until) {
					conns.Add(1)
					steps.Add(floodOnce(kind, until, to))
				}
			})
		}
		flooding.Go(func() {
			kindOver.Wait()
			said[i] = fmt.Sprintf("%s: %d times on %d connections", kind, steps.Load(), conns.Load())
		})
	}
	flooding.Wait()
	fmt.Println("ready")
	fmt.Println(strings.Join(said, "\n"))
}

// floodOnce floods one connection, until that is closed or time is over.
func floodOnce(kind string, until time.Time, to string) (steps int64) {
	way := floodWays()[kind]
	c, err := tls.Dial("tcp", to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // the other end is a test's
	if err != nil {
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(until)
	f := &flooder{out: bufio.NewWriterSize(c, 16<<10), next: 1, until: until}
	f.Framer, f.coder = http2.NewFramer(f.out, nil), hpack.NewEncoder(&f.block)
	f.AllowIllegalWrites = true
	_, _ = f.out.WriteString(http2.ClientPreface)
	_ = f.WriteSettings()
	if kind != unread {
		go func() { _, _ = io.Copy(io.Discard, c) }() // it ends with the connection
	}
	for ; way(f) == nil && time.Now().Before(until); steps++ {
		if steps%50 == 0 && f.out.Flush() != nil {
			break
		}
	}
	return steps
}
