// Package socket talks to HAProxy over its runtime socket and its master socket: it
// builds commands, sends them with a deadline, and takes the answers apart.
//
// A command is made of words, which are quoted; there is no way to send a string: of a
// word that ends its line early, or a payload with an empty line, HAProxy would execute
// the rest with the rights of an administrator.
//
// Answers on a runtime socket carry a severity: one worse than a warning is a *CommandError.
package socket

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Client opens sessions on one runtime socket. It may be used from any goroutine.
type Client struct {
	path    string
	timeout time.Duration
}

// New returns a client for the runtime socket at path, a file. timeout bounds each
// command, with its dial; zero means 5 s.
func New(path string, timeout time.Duration) *Client {
	return &Client{path, cmp.Or(timeout, defaultTimeout)}
}

const defaultTimeout = 5 * time.Second

// Session is a kept connection, on which many commands cost little. It belongs to one
// goroutine, and is to be closed soon: a worker that was replaced does not end before it.
type Session struct {
	conn    net.Conn
	timeout time.Duration
	buf     []byte
	broken  error // the connection is out of step and of no use any more
}

// prompt ends every answer of an interactive session.
const prompt = "\n> "

// Open dials and begins a session in which answers carry their severity.
func (c *Client) Open(ctx context.Context) (*Session, error) {
	conn, err := dial(ctx, c.path, c.timeout)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, timeout: c.timeout}
	if _, err := s.DoAll(ctx, []Command{{line: "prompt"}, {line: "set severity-output number"}}); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func dial(ctx context.Context, path string, timeout time.Duration) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("haproxy socket: %w", err)
	}
	return conn, nil
}

// Close ends the session.
func (s *Session) Close() { _ = s.conn.Close() }

// Do sends a command and returns its answer without surrounding line breaks. After a
// refusal, a *CommandError, the session goes on; after any other error it is of no use.
func (s *Session) Do(ctx context.Context, cmd Command) (string, error) {
	answers, err := s.DoAll(ctx, []Command{cmd})
	if err != nil {
		return "", err
	}
	return answers[0], nil
}

// run sends the command of some words, with a payload unless it is nil.
func (s *Session) run(ctx context.Context, payload []string, words ...string) (string, error) {
	c, err := command(payload, words...)
	if err != nil {
		return "", err
	}
	return s.Do(ctx, c)
}

// maxBatch is how many bytes of commands HAProxy's buffer holds: answers are read then.
const maxBatch = 8 << 10

// DoAll sends commands without waiting for each answer, which saves most of the time that
// many need. After a refusal the commands behind it may have been executed or not.
func (s *Session) DoAll(ctx context.Context, commands []Command) ([]string, error) {
	answers := make([]string, 0, len(commands))
	for len(commands) > 0 {
		n, data := 0, []byte(nil)
		for n < len(commands) {
			next := commands[n].bytes()
			if n > 0 && len(data)+len(next) > maxBatch {
				break
			}
			data = append(data, next...)
			n++
		}
		texts, err := s.exchange(ctx, data, n)
		if err != nil {
			s.broken = fmt.Errorf("haproxy socket: %q: %w", commands[0].verb(), err)
			return nil, s.broken
		}
		for i, text := range texts {
			answer, err := judge(commands[i], text)
			if err != nil {
				return nil, err
			}
			answers = append(answers, answer)
		}
		commands = commands[n:]
	}
	return answers, nil
}

// exchange sends n commands and reads their answers, each of which ends in a prompt.
func (s *Session) exchange(ctx context.Context, data []byte, n int) ([]string, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	stop, err := deadline(ctx, s.conn, s.timeout)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := s.conn.Write(data); err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	s.buf = s.buf[:0]
	prompts := 0
	for {
		s.buf = slices.Grow(s.buf, 4<<10)
		from := max(len(s.buf)-len(prompt)+1, 0)
		got, err := s.conn.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+got]
		prompts += bytes.Count(s.buf[from:], []byte(prompt))
		// HAProxy writes the prompt last and then waits for us.
		if prompts >= n && bytes.HasSuffix(s.buf, []byte(prompt)) {
			break
		}
		if err != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
	text := string(s.buf[:len(s.buf)-len(prompt)])
	if n == 1 {
		return []string{text}, nil
	}
	answers := strings.Split(text, prompt)
	if len(answers) != n {
		return nil, fmt.Errorf("%d answers to %d commands", len(answers), n)
	}
	return answers, nil
}

// deadline bounds what follows on conn, until stop is called.
func deadline(ctx context.Context, conn net.Conn, timeout time.Duration) (stop func() bool, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	until := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := conn.SetDeadline(until); err != nil {
		return nil, err
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil
}

// judge takes the severity off an answer and makes an error of a bad one.
func judge(cmd Command, answer string) (string, error) {
	if len(cmd.payload) > 0 {
		for strings.HasPrefix(answer, "+ ") { // one for each line of the payload
			answer = answer[len("+ "):]
		}
	}
	severity := byte('6')
	if len(answer) > 4 && answer[0] == '[' && answer[2] == ']' && answer[3] == ':' {
		severity = answer[1]
		answer = strings.TrimPrefix(answer[4:], " ")
	}
	answer = strings.Trim(answer, "\n")
	if severity < '4' || strings.HasPrefix(answer, "Unknown command") || strings.HasPrefix(answer, "Permission denied") {
		return "", &CommandError{Command: cmd.quotable(), Answer: oneLine(answer)}
	}
	return answer, nil
}

// oneLine makes an answer fit for an error: its first lines, joined.
func oneLine(answer string) string {
	const most = 300
	s := strings.Join(strings.Fields(answer), " ")
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}
