package dockerapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
)

// Exec is a command for a container that runs. What it is to work on comes over its
// standard input: no call writes into a container's file system from outside, because the
// engine's own ways to do so have let a container write to its host.
type Exec struct {
	// Args are the program and its arguments: constants, with paths and numbers of the
	// caller's own at most; nothing that others wrote becomes an argument.
	Args  []string
	User  string // as of Docker ("0", "haproxy"); empty for the container's
	Stdin []byte // what the command reads; nil for an end of file at once
	// MaxOutput bounds what is kept of each of Stdout and Stderr in bytes; zero means 1 MiB.
	MaxOutput int
	// Timeout is the deadline of the whole; zero means that of the client. It does not end
	// the command itself: Docker has no call for that.
	Timeout time.Duration
}

// ExecResult is what a command has left behind.
type ExecResult struct {
	// ExitCode is that of the command; 126 and 127 also mean that there is no such program.
	ExitCode int
	// Stdout and Stderr are the beginning of what it wrote.
	Stdout, Stderr []byte
	// Truncated is true when one of them is not all of it.
	Truncated bool
}

// ContainerExec runs a command in a container and waits for its end. One that fails is an
// answer (ExitCode), no error. POST /containers/{id}/exec, POST /exec/{id}/start, GET
// /exec/{id}/json.
func (c *Client) ContainerExec(ctx context.Context, id string, e Exec) (_ ExecResult, err error) {
	if e.Timeout <= 0 {
		e.Timeout = c.timeout
	}
	if e.MaxOutput <= 0 {
		e.MaxOutput = 1 << 20
	}
	ctx, end := c.begin(ctx, "exec", e.Timeout, &err)
	defer end()
	if err := c.agree(ctx); err != nil {
		return ExecResult{}, err
	}
	made, err := c.api.ExecCreate(ctx, id, client.ExecCreateOptions{
		User: e.User, Cmd: e.Args, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return ExecResult{}, err
	}
	stdout, stderr := &kept{left: e.MaxOutput}, &kept{left: e.MaxOutput}
	if err := c.attach(ctx, made.ID, e.Stdin, stdout, stderr); err != nil {
		return ExecResult{}, err
	}
	// The engine notes the exit code a moment after the stream has ended.
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		state, err := c.api.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
		if err != nil {
			return ExecResult{}, err
		}
		if !state.Running {
			return ExecResult{
				ExitCode: state.ExitCode, Stdout: stdout.buf.Bytes(), Stderr: stderr.buf.Bytes(),
				Truncated: stdout.left < 0 || stderr.left < 0,
			}, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ExecResult{}, ctx.Err()
		}
	}
}

// attach starts the command and carries its input and output until it ends. The maintained
// client would not connect the way it was told to over TLS.
func (c *Client) attach(ctx context.Context, id string, stdin []byte, stdout, stderr io.Writer) (err error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot tell the end of the input")
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() {
		if ctx.Err() != nil {
			err = ctx.Err() // says more than that the connection is closed
		}
	}()
	r, err := c.request(ctx, http.MethodPost, "/exec/"+id+"/start", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "tcp")
	if err := r.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		return refusal(answer)
	}
	// A command may answer while it reads, and may end before it has read everything.
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := conn.Write(stdin); err == nil {
			_ = half.CloseWrite()
		}
	})
	err = demultiplex(in, stdout, stderr)
	_ = conn.Close()
	sending.Wait()
	return err
}

// connect makes a connection of its own, with TLS where the engine wants it.
func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	conn, err := c.way.dial(ctx)
	if err != nil {
		return nil, err
	}
	if c.way.tls == nil {
		return conn, nil
	}
	secure := tls.Client(conn, c.way.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// demultiplex takes the two outputs apart: each piece has a header of eight bytes, of which
// the first says which output and the last four how long.
func demultiplex(r io.Reader, stdout, stderr io.Writer) error {
	var header [8]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("output of the command: %w", err)
		}
		to := map[byte]io.Writer{1: stdout, 2: stderr}[header[0]]
		if to == nil {
			return fmt.Errorf("output of the command: a piece of kind %d", header[0])
		}
		if _, err := io.CopyN(to, r, int64(binary.BigEndian.Uint32(header[4:]))); err != nil {
			return fmt.Errorf("output of the command: %w", err)
		}
	}
}

// kept keeps the beginning of what is written to it.
type kept struct {
	buf  bytes.Buffer
	left int // below zero once something was thrown away
}

// Write never fails and never keeps more than there is room for.
func (k *kept) Write(p []byte) (int, error) {
	if len(p) > k.left {
		if k.left > 0 {
			k.buf.Write(p[:k.left])
		}
		k.left = -1
		return len(p), nil
	}
	k.left -= len(p)
	return k.buf.Write(p)
}

// ContainerSignal sends a signal ("USR2") to a container. POST /containers/{id}/kill.
func (c *Client) ContainerSignal(ctx context.Context, id, signal string) (err error) {
	ctx, end := c.begin(ctx, "signal", c.timeout, &err)
	defer end()
	if signal == "" {
		return errors.New("none is named, which would mean KILL")
	}
	_, err = c.api.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	return err
}
