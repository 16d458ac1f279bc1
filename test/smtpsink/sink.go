// Package smtpsink is a mail server for tests: it takes every mail and keeps it.
package smtpsink

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mail is one that was taken.
type Mail struct {
	From string
	To   []string
	// Data is header and text as they were sent, with dots and line ends undone.
	Data string
	// At is when it was complete.
	At time.Time
	// TLS and User say how it was sent; User is empty without authentication.
	TLS  bool
	User string
}

// Options say what the server does. The zero value takes mail from everybody
// without TLS.
type Options struct {
	// TLS offers STARTTLS, and with Implicit begins with it.
	TLS      *tls.Config
	Implicit bool
	// User and Password are asked for when User is set.
	User, Password string
	// Reply, when set, is asked before each answer to the end of a mail; what it
	// returns is sent instead unless it is empty.
	Reply func(Mail) string
}

// Sink is the server. Its methods may be called from any goroutine.
type Sink struct {
	options  Options
	listener net.Listener

	mu    sync.Mutex
	mails []Mail
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// Listen starts a server on an address, ":0" of the loopback when empty.
func Listen(address string, o Options) (*Sink, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, listener: l, conns: map[net.Conn]bool{}}
	s.wg.Go(s.serve)
	return s, nil
}

// Addr is where it listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Mails returns what was taken so far.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Close ends it and waits for its connections.
func (s *Sink) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Sink) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			defer func() {
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			v := &visit{sink: s, raw: c}
			if s.options.Implicit {
				v.secure()
			} else {
				v.text = textproto.NewConn(c)
			}
			v.run()
		})
	}
}

// visit is one connection.
type visit struct {
	sink *Sink
	raw  net.Conn
	text *textproto.Conn
	mail Mail
}

func (v *visit) secure() {
	conn := tls.Server(v.raw, v.sink.options.TLS)
	v.text = textproto.NewConn(conn)
	v.mail = Mail{TLS: true}
}

func (v *visit) say(lines ...string) {
	for _, line := range lines {
		_ = v.text.PrintfLine("%s", line)
	}
}

func (v *visit) run() {
	v.say("220 sink.example ESMTP")
	for {
		line, err := v.text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			v.hello()
		case "STARTTLS":
			v.say("220 go on")
			v.secure()
		case "AUTH":
			v.auth(rest)
		case "MAIL":
			if v.sink.options.User != "" && v.mail.User == "" {
				v.say("530 5.7.0 authenticate first")
				continue
			}
			v.mail.From, v.mail.To = address(rest), nil
			v.say("250 ok")
		case "RCPT":
			v.mail.To = append(v.mail.To, address(rest))
			v.say("250 ok")
		case "DATA":
			if !v.data() {
				return
			}
		case "QUIT":
			v.say("221 bye")
			return
		default: // NOOP, RSET
			v.say("250 ok")
		}
	}
}

func (v *visit) hello() {
	lines := []string{"sink.example"}
	if v.sink.options.TLS != nil && !v.mail.TLS {
		lines = append(lines, "STARTTLS")
	}
	if v.sink.options.User != "" {
		lines = append(lines, "AUTH PLAIN")
	}
	for i, line := range append(lines, "8BITMIME") {
		separator := "-"
		if i == len(lines) {
			separator = " "
		}
		v.say("250" + separator + line)
	}
}

func (v *visit) auth(rest string) {
	_, encoded, _ := strings.Cut(rest, " ")
	if encoded == "" {
		v.say("334 ")
		encoded, _ = v.text.ReadLine()
	}
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || string(plain) != "\x00"+v.sink.options.User+"\x00"+v.sink.options.Password {
		v.say("535 5.7.8 no")
		return
	}
	v.mail.User = v.sink.options.User
	v.say("235 ok")
}

func (v *visit) data() bool {
	v.say("354 go on")
	data, err := io.ReadAll(v.text.DotReader())
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return false
	}
	v.mail.Data, v.mail.At = string(data), time.Now()
	if v.sink.options.Reply != nil {
		if reply := v.sink.options.Reply(v.mail); reply != "" {
			v.say(reply)
			return true
		}
	}
	v.sink.mu.Lock()
	v.sink.mails = append(v.sink.mails, v.mail)
	v.sink.mu.Unlock()
	v.say("250 taken")
	return true
}

// address takes what is between the brackets.
func address(text string) string {
	_, text, _ = strings.Cut(text, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}
