package haproxy

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/ending"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/traffic"
)

// event is a request or a connection that is over, as HAProxy reports it.
type event struct {
	// Request is what the access log says, also of a connection. Status is zero when it
	// was broken off before there was one. Route and Endpoint are found in the table.
	traffic.Request
	connection bool
	key        string // render.RouteKey; empty when no route took it
	took       time.Duration
	ended      time.Time
	retries    int
	code       string
	end        [2]byte // HAProxy's termination state
	section    string
	server     string // empty for none
	address    string // of its endpoint, found in the table
	listener   string
	received   int64 // of a connection
	weight     int   // how many requests it stands for, at least one
}

// maxFrame bounds one line; HAProxy cuts at 8 KiB.
const maxFrame = 64 << 10

// readFrame reads one line behind its length (RFC 6587, 3.4.1), valid until the next call.
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	n := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if c == ' ' && digits > 0 {
			break
		}
		if c < '0' || c > '9' || digits > 5 {
			return nil, fmt.Errorf("the length of a line has %q in it", c)
		}
		n = n*10 + int(c-'0')
	}
	if n > maxFrame {
		return nil, fmt.Errorf("a line of %d bytes", n)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

// captured takes the values of captured headers out of their braces.
func captured(field string) []string {
	field, ok := strings.CutPrefix(strings.TrimSuffix(field, "}"), "{")
	if !ok {
		return nil
	}
	return strings.Split(field, "|")
}

var errLine = errors.New("not a line of Fairway's format")

// parseLine reads one line of render's log format with its key; HAProxy's own, about
// handshakes that failed, are an error. now stands for the end where the line has none.
func parseLine(line, key string, now time.Time) (event, error) {
	line, ok := strings.CutPrefix(line, key)
	if !ok {
		return event{}, errLine
	}
	fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
	if len(fields) <= render.FieldWeight || fields[0] != render.LineRequest && fields[0] != render.LineConnection {
		return event{}, errLine
	}
	get := func(i int) string {
		if i >= len(fields) || fields[i] == "-" {
			return ""
		}
		return fields[i]
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(strings.TrimPrefix(get(i), "+"), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	e := event{
		Request: traffic.Request{
			ID:       get(render.FieldID),
			Client:   render.ClientOf(get(render.FieldClient)),
			Method:   get(render.FieldMethod),
			Host:     get(render.FieldHost),
			Path:     get(render.FieldPath),
			Proto:    get(render.FieldProto),
			TLS:      get(render.FieldTLS) == "1",
			Bytes:    number(render.FieldBytes),
			Captured: captured(get(render.FieldCaptured)),
		},
		connection: fields[0] == render.LineConnection,
		key:        get(render.FieldRoute),
		took:       time.Duration(number(render.FieldDuration)) * time.Millisecond,
		ended:      now,
		retries:    int(number(render.FieldRetries)),
		code:       get(render.FieldCode),
		section:    get(render.FieldSection),
		server:     strings.TrimPrefix(get(render.FieldServer), "<NOSRV>"), // it never got one
		listener:   quote.Listener(get(render.FieldListener)),
		weight:     max(1, int(number(render.FieldWeight))),
	}
	if e.connection {
		e.received = number(render.FieldStatus)
	} else {
		e.Status = int(number(render.FieldStatus))
	}
	if e.server != "" {
		e.Attempts = 1 + e.retries
	}
	if ms := number(render.FieldTime); ms > 0 {
		e.ended = time.UnixMilli(ms)
	}
	e.end = [2]byte{'-', '-'}
	if end := fields[render.FieldEnd]; len(end) >= 2 {
		e.end = [2]byte{end[0], end[1]}
	}
	// Something ended it while data was passed on.
	e.Left = e.end[0] == 'C' || e.end[0] == 'c'
	e.Aborted = e.end[0] != '-' && e.end[1] == 'D' && e.Status >= 200
	return e, nil
}

// logEvent reports a request or connection that is over.
func (r *readings) logEvent(e event) {
	e.Time, e.Seconds = traffic.Time(e.ended.Add(-e.took)), e.took.Seconds()
	e.Error = ending.End{State: e.end, Code: e.code, Address: cmp.Or(e.address, e.server), Retries: e.retries}.Reason()
	if e.connection {
		line := traffic.Connection{
			Time: e.Time, Client: e.Client, Listener: e.listener, Host: e.Host, Proto: "TCP", TLS: e.Host != "",
			Outcome: e.outcome(), Received: e.received, Bytes: e.Bytes, Seconds: e.Seconds,
			Route: e.Route, Endpoint: e.Endpoint, Attempts: e.Attempts,
		}
		if line.Outcome == traffic.Unreachable {
			line.Error = e.Error
		}
		r.access.Connection(line)
		return
	}
	r.access.Request(e.Request)
}

// outcome reads HAProxy's termination state: who ended it, and in which phase.
func (e event) outcome() traffic.Outcome {
	who, phase := e.end[0], e.end[1]
	switch {
	case who == 'K' || who == 'D' || who == 'U':
		return traffic.Cut
	case (who == 'c' || who == 's') && phase == 'D':
		return traffic.Idle
	case phase == 'D' || who == '-' && e.server != "":
		return traffic.Closed
	case e.key == "":
		return traffic.NoRoute
	case who == 'P':
		return traffic.Refused
	case e.server == "":
		return traffic.NoEndpoint
	case who == 'S' || who == 's':
		return traffic.Unreachable
	}
	return traffic.Closed
}

// count counts on a route what is over.
func count(r *traffic.Route, e event) {
	if e.connection {
		r.Connected()
		r.Passed(uint64(max(0, e.received)), uint64(max(0, e.Bytes)))
		return
	}
	r.Requests(uint64(e.weight), e.Status, e.took)
	if e.retries > 0 {
		r.Retried(uint64(e.retries * e.weight))
	}
}

// refused counts what a guard refused. A path that a filter has made is not its affair.
func (r *readings) refused(e event) {
	switch e.code {
	case "bad-path":
		if e.key != "" {
			return
		}
	case "method", "bad-length", "too-many-headers", "bad-host", "underscore-header", "slow-body", "source-limit", "proxy-protocol":
	default:
		return
	}
	r.counters.Refusals.With(e.code).Inc()
}
