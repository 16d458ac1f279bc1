package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// load is what asks a proxy where wrk does not: it runs as a process of its own, so that it
// can be kept off the proxy's CPU, and prints what it has found as JSON.
func load(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("rate, idle, serve or bytes?")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	address := flags.String("address", "", "of the proxy, or to serve")
	hosts := flags.String("hosts", "", "names to ask for")
	connections := flags.Int("connections", 64, "how many there are")
	rate := flags.Int("rate", 1000, "requests a second, of all connections")
	duration := flags.Duration("duration", defaultDuration, "how long")
	size := flags.Int64("size", 1<<30, "bytes in each direction, of all connections")
	tunnels := flags.Bool("tunnels", false, "connections are passed through from the start")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "rate":
		found, err := askAtRate(ctx, *address, requestsFor(*hosts), *connections, *rate, *duration)
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(found))
	case "idle":
		return idle(*address, requestsFor(*hosts)[0], *connections)
	case "serve":
		return serveBytes(ctx, *address)
	case "bytes":
		return sendBytes(*address, *tunnels, *connections, *size)
	}
	return fmt.Errorf("unknown load %q", args[0])
}

// loader is how such a process is started.
func (o *requestOptions) loader(ctx context.Context, args ...string) *exec.Cmd {
	args = pinned(o.restCPU, append([]string{must(os.Executable()), "load"}, args...))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own arguments
	cmd.Stderr = os.Stderr
	return cmd
}

func requestsFor(hosts string) (requests [][]byte) {
	for host := range strings.SplitSeq(hosts, ",") {
		requests = append(requests, []byte("GET / HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"))
	}
	return requests
}

// latencies is what requests at a fixed rate have taken, in milliseconds, from the time at
// which they were due: one that had to wait for the one before it has waited, too.
type latencies struct {
	Requests            int
	P50, P99, P999, Max float64
}

// rateWarm is left out at the beginning.
const rateWarm = time.Second

// askAtRate sends requests when they are due, in turn on all connections.
func askAtRate(ctx context.Context, address string, requests [][]byte, connections, rate int, d time.Duration) (latencies, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	var asking sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	begin := time.Now().Add(200 * time.Millisecond)
	each := time.Second * time.Duration(connections) / time.Duration(rate)
	for i := range connections {
		c, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return latencies{}, err
		}
		defer c.Close()
		_ = c.SetDeadline(begin.Add(rateWarm + d + 10*time.Second))
		asking.Go(func() {
			r := bufio.NewReaderSize(c, 16<<10)
			own := make([]time.Duration, 0, int(d/each)+2)
			first := begin.Add(each * time.Duration(i) / time.Duration(connections))
			var err error
			for n := i; err == nil; n++ {
				due := first.Add(time.Duration(n-i) * each)
				if due.Sub(begin) >= rateWarm+d {
					break
				}
				time.Sleep(time.Until(due))
				if _, err = c.Write(requests[n%len(requests)]); err != nil {
					break
				}
				if err = readAnswer(r); err == nil && due.Sub(begin) >= rateWarm {
					own = append(own, time.Since(due))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, own...), errors.Join(failed, err)
		})
	}
	asking.Wait()
	if len(took) == 0 || failed != nil {
		return latencies{}, fmt.Errorf("%d requests were answered: %w", len(took), failed)
	}
	slices.Sort(took)
	at := func(part float64) float64 {
		return float64(took[min(int(part*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	return latencies{len(took), at(0.5), at(0.99), at(0.999), at(1)}, nil
}

// readAnswer reads an answer with 200 and a length.
func readAnswer(r *bufio.Reader) error {
	length := -1
	for n := 0; ; n++ {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case n == 0 && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			return fmt.Errorf("answered %q", line)
		case len(line) == 2:
			if length < 0 {
				return errors.New("the answer has no length")
			}
			_, err = r.Discard(length)
			return err
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}

// idle opens connections, asks once on each, says so, and keeps them until its input ends.
func idle(address string, request []byte, connections int) error {
	all := make([]net.Conn, 0, connections)
	for range connections {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
		if _, err := c.Write(request); err != nil {
			return err
		}
		if err := readAnswer(bufio.NewReader(c)); err != nil {
			return err
		}
		all = append(all, c)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			return fmt.Errorf("a connection did not stay open: %w", err)
		}
	}
	return nil
}

const (
	askSwitch = "GET / HTTP/1.1\r\nHost: s0.bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	doSwitch  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	// copySize is what one write has.
	copySize = 256 << 10
)

// serveBytes is the backend of bytes: it switches where that is asked for, gets a number of
// bytes, sends as many, reads as many, and says that it has.
func serveBytes(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, copySize)
			if first, err := r.Peek(4); err != nil || string(first) == "GET " {
				for line := "-"; err == nil && strings.TrimSpace(line) != ""; {
					line, err = r.ReadString('\n')
				}
				if _, err = io.WriteString(c, doSwitch); err != nil {
					return
				}
			}
			var size [8]byte
			for {
				if _, err := io.ReadFull(r, size[:]); err != nil {
					return
				}
				n := int64(binary.BigEndian.Uint64(size[:]))
				if send(c, n) != nil || take(r, n) != nil {
					return
				}
				if _, err := c.Write([]byte{1}); err != nil {
					return
				}
			}
		}()
	}
}

func send(w io.Writer, n int64) error {
	buf := make([]byte, copySize)
	for n > 0 {
		k, err := w.Write(buf[:min(n, copySize)])
		if n -= int64(k); err != nil {
			return err
		}
	}
	return nil
}

func take(r io.Reader, n int64) error {
	buf := make([]byte, copySize)
	for n > 0 {
		k, err := r.Read(buf[:min(n, copySize)])
		if n -= int64(k); err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// sendBytes has so many bytes come, and as many go, in equal parts on all connections.
func sendBytes(address string, tunnels bool, connections int, size int64) error {
	each := size / int64(connections)
	done := make(chan error, connections)
	for range connections {
		go func() { done <- passBytes(address, tunnels, each) }()
	}
	var failed error
	for range connections {
		failed = errors.Join(failed, <-done)
	}
	return failed
}

func passBytes(address string, tunnels bool, n int64) error {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	if !tunnels {
		if _, err := io.WriteString(c, askSwitch); err != nil {
			return err
		}
		for first, line := true, "-"; line != ""; first = false {
			if line, err = r.ReadString('\n'); err != nil {
				return err
			}
			if line = strings.TrimSpace(line); first && !strings.HasPrefix(line, "HTTP/1.1 101") {
				return fmt.Errorf("answered %q", line)
			}
		}
	}
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(n))
	if _, err := c.Write(size[:]); err != nil {
		return err
	}
	if err := errors.Join(take(r, n), send(c, n)); err != nil {
		return err
	}
	_, err = r.ReadByte()
	return err
}

// echoes reports whether a byte comes and goes.
func echoes(address string, tunnels bool) bool { return passBytes(address, tunnels, 1) == nil }
