package enginetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// earlyRounds is how often each combination is played.
const earlyRounds = 20

// earlyTable has a route for each answer that comes before the body has been sent.
const earlyTable = `
tls: [a.example]
routes:
  - {id: service, host: a.example, path: /service, to: [e1]}
  - {id: large, host: a.example, path: /large, filters: [{maxBody: {bytes: 1000}}], to: [e1]}
  - {id: denied, host: a.example, path: /denied, filters: [{ipAllow: {prefixes: [192.0.2.0/24]}}], to: [e1]}
`

// earlyAnswers are those answers: the target, and the status that is expected.
func earlyAnswers() map[string]int {
	return map[string]int{
		"/service?keep=413":  http.StatusRequestEntityTooLarge,
		"/service?close=403": http.StatusForbidden,
		"/large":             http.StatusRequestEntityTooLarge,
		"/denied":            http.StatusForbidden,
		"/none":              http.StatusNotFound,
	}
}

// earlyCases are answers that are there before the client has sent its body. It
// goes on sending, as many programs do that read only when they have sent all,
// and must get the answer then (RFC 9112, 9.6).
func earlyCases() []goCase {
	return []goCase{
		{"HTTP/1.1", func(w *world) {
			for _, secure := range []bool{false, true} {
				earlyHTTP1(w, secure, false)
				earlyHTTP1(w, secure, true)
			}
		}},
		{"HTTP/2", earlyHTTP2},
		{"HTTP/2, heedless", earlyFrames},
	}
}

// serveEarly is an endpoint that answers before it has read anything. With close it
// hangs up at once, which resets the connection: there is something to read. With
// keep it reads on.
func serveEarly(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		kind, status, _ := strings.Cut(r.URL.RawQuery, "=")
		if kind == "" { // the engine finds out only from the body that it is too much
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		conn, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s Early\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much", status)
		if kind == "keep" {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			_, _ = io.Copy(io.Discard, buffered)
		}
	})
}

// earlyBody is more than engines read for nothing and sockets keep, where the
// client's has a small buffer.
const (
	earlyBody  = 2 << 20
	earlyPiece = 64 << 10
)

func earlyHTTP1(w *world, secure, chunked bool) {
	serveEarly(w)
	w.apply(earlyTable)
	piece := strings.Repeat("x", earlyPiece)
	framing := fmt.Sprintf("Content-Length: %d", earlyBody)
	if chunked {
		framing = "Transfer-Encoding: chunked"
		piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
	}
	playEarly(w, func(target string) (string, error) {
		conn, err := dialEarly(w, secure)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a.example\r\n%s\r\n\r\n", target, framing)
		for sent := 0; sent < earlyBody && err == nil; sent += earlyPiece {
			_, err = io.WriteString(conn, piece)
		}
		if err != nil {
			return "", errors.New("it cannot send on")
		}
		resp, err := http.ReadResponse(newReader(conn), &http.Request{Method: http.MethodPost})
		if err != nil {
			return "", err
		}
		a := readAnswer(resp)
		return a.Status[:3], a.broken
	})
}

// dialEarly opens a connection that keeps little of what is not read.
func dialEarly(w *world, secure bool, protocols ...string) (net.Conn, error) {
	listener := "http"
	if secure {
		listener = "https"
	}
	conn, err := net.DialTimeout("tcp", w.engine.Addr(listener).String(), patience)
	if err != nil {
		return nil, err
	}
	if err := conn.(*net.TCPConn).SetWriteBuffer(earlyPiece); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	_ = conn.SetDeadline(time.Now().Add(12 * patience))
	if secure {
		return tls.Client(conn, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: protocols}), nil
	}
	return conn, nil
}

func earlyHTTP2(w *world) {
	serveEarly(w)
	w.apply(earlyTable)
	c := w.client("https", true)
	body := strings.Repeat("x", earlyBody)
	playEarly(w, func(target string) (string, error) {
		p := <-w.begin(c, http.MethodPost, "https://a.example"+target, strings.NewReader(body)).done
		if p.err != nil {
			return "", p.err
		}
		return p.Status[:3], p.broken
	})
}

// earlyFrames is earlyHTTP2 with a client that heeds nothing but the windows: it
// sends its body on until the answer has ended.
func earlyFrames(w *world) {
	serveEarly(w)
	w.apply(earlyTable)
	playEarly(w, func(target string) (string, error) {
		conn, err := dialEarly(w, true, "h2")
		if err != nil {
			return "", err
		}
		defer conn.Close()
		f := newFrames(w, conn)
		_ = f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block([]field{
			{":method", "POST"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", target},
		})})
		_ = f.framer.WriteWindowUpdate(0, 1<<20)
		return f.flood()
	})
}

// flood sends DATA on stream 1 as the windows let it, until the answer has ended or
// was cut off. It returns the status.
func (f *frames) flood() (string, error) {
	var (
		status string
		ended  bool
		mine   = 1<<16 - 1
		all    = 1<<16 - 1
		piece  = make([]byte, 1<<14)
	)
	for !ended {
		for mine >= len(piece) && all >= len(piece) {
			if err := f.framer.WriteData(1, false, piece); err != nil {
				return "", err
			}
			mine, all = mine-len(piece), all-len(piece)
		}
		frame, err := f.framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if v, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				mine += int(v) - (1<<16 - 1)
			}
		case *http2.WindowUpdateFrame:
			if frame.StreamID == 0 {
				all += int(frame.Increment)
			} else {
				mine += int(frame.Increment)
			}
		case *http2.MetaHeadersFrame:
			status, ended = frame.PseudoValue("status"), frame.StreamEnded()
		case *http2.DataFrame:
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			return "", fmt.Errorf("reset with %v before the end of the answer", frame.ErrCode)
		case *http2.GoAwayFrame:
			return "", fmt.Errorf("closed with %v", frame.ErrCode)
		}
	}
	return status, nil
}

// playEarly asks for each early answer, many at a time; ask returns the status.
func playEarly(w *world, ask func(target string) (string, error)) {
	w.Helper()
	for target, want := range earlyAnswers() {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			lost = map[string]int{}
		)
		for range earlyRounds {
			wg.Go(func() {
				got, err := ask(target)
				if err != nil {
					got = err.Error()
				}
				if got != strconv.Itoa(want) {
					mu.Lock()
					defer mu.Unlock()
					lost[got]++
				}
			})
		}
		wg.Wait()
		if len(lost) > 0 {
			w.Errorf("%s: instead of %d answers with %d: %v", target, earlyRounds, want, lost)
		}
	}
}
