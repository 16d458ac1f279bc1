package traffic

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// TestReason: an error of the network or of TLS is said in words, with the address; what
// an endpoint has sent is not repeated.
func TestReason(t *testing.T) {
	const address, otherwise = "172.17.0.20:9999", "the endpoint broke off or answered nonsense"
	dial := func(err error) error {
		return fmt.Errorf("connect: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err})
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused at " + address},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no route to host at " + address},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "connection reset by peer at " + address},
		{dial(os.ErrDeadlineExceeded), "no answer in time at " + address},
		{io.ErrUnexpectedEOF, "the connection was closed before there was an answer at " + address},
		{tls.RecordHeaderError{Msg: "secret"}, "no TLS is spoken at " + address},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "the certificate is not accepted: certificate signed by unknown authority at " + address},
		{errors.New(`malformed HTTP status code "secret"`), otherwise + " at " + address},
		{nil, otherwise + " at " + address},
	} {
		if got := Reason(c.err, address, otherwise); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	long := Reason(nil, address, strings.Repeat("ü\n", maxReason))
	if len(long) > maxReason || !utf8.ValidString(long) || strings.Contains(long, "\n") || !strings.HasSuffix(long, "… at "+address) {
		t.Errorf("a long reason: %d bytes, %q", len(long), long)
	}
}

// TestLastErrors: the newest errors of a route are kept beside its refusals, and of
// no more routes than there is room for.
func TestLastErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog(nil, nil, nil)
		report := func(one Request) {
			l.Request(one)
			time.Sleep(time.Millisecond)
		}
		report(Request{Route: "shop", Status: 200})
		report(Request{Route: "shop", Status: 404}) // the endpoint's own
		if got := l.Errors("shop"); len(got) != 0 {
			t.Errorf("what went well is kept: %v", got)
		}
		report(Request{Route: "shop", Status: 500, Path: "/" + strings.Repeat("p", 1000)})
		for i := range 3 * maxErrors {
			report(Request{Route: "shop", Status: 401, Error: "user and password are needed", ID: fmt.Sprint(i)})
		}
		report(Request{Route: "shop", Status: 200, Aborted: true, Error: "the endpoint broke off its answer"})
		got := l.Errors("shop")
		if len(got) != maxErrors+2 || !got[0].Aborted || got[1].ID != "59" || got[maxErrors].ID != "40" || got[maxErrors+1].Status != 500 {
			t.Errorf("%d errors are kept: %+v", len(got), got)
		}
		if path := got[maxErrors+1].Path; len(path) != maxErrorPath || !strings.HasSuffix(path, "p…") {
			t.Errorf("a path of %d bytes is kept", len(path))
		}
		for i := range maxErrorRoutes {
			report(Request{Route: fmt.Sprint(i), Status: 502})
		}
		if len(l.Errors("shop")) > 0 || len(l.Errors("0")) != 1 || len(l.routes) != maxErrorRoutes {
			t.Errorf("errors of %d routes are kept", len(l.routes))
		}
	})
}

// TestConnectionErrors: a connection that got nowhere is among the errors of its route.
func TestConnectionErrors(t *testing.T) {
	l := NewLog(nil, nil, nil)
	l.Connection(Connection{Route: "db", Outcome: Closed})
	l.Connection(Connection{Route: "db", Outcome: Unreachable, Error: "connection refused at 10.0.0.1:5432"})
	l.Connection(Connection{Route: "db", Outcome: NoEndpoint})
	got := l.Errors("db")
	if len(got) != 2 || got[0].Error == got[1].Error || got[0].Method != "TCP" {
		t.Errorf("kept: %+v", got)
	}
}

// TestByClient: what clients cause is kept beside what went wrong, and pushes none of it out.
func TestByClient(t *testing.T) {
	l := NewLog(nil, nil, nil)
	l.Request(Request{Route: "db", Status: 502, ID: "wrong"})
	l.Connection(Connection{Route: "db", Outcome: NoEndpoint})
	for range 2 * maxErrors {
		l.Request(Request{Route: "db", Status: 200, Aborted: true, Left: true, Error: ClientLeft})
		l.Request(Request{Route: "db", Left: true, Error: "the client went away"})
		for _, o := range []Outcome{NoHeader, NoRoute, Refused} {
			l.Connection(Connection{Route: "db", Outcome: o})
		}
	}
	got := slices.DeleteFunc(l.Errors("db"), func(e Error) bool { return e.ByClient() })
	if len(got) != 2 || got[0].Outcome != NoEndpoint || got[1].ID != "wrong" {
		t.Errorf("what went wrong: %+v", got)
	}
}

// TestFailed: a connection that ended well has not failed, and has no status either.
func TestFailed(t *testing.T) {
	l := NewLog(nil, nil, nil)
	failed := l.Follow((*Request).Failed)
	defer failed.Close()
	for _, o := range []Outcome{"", Closed, Idle, Cut, Unreachable} {
		l.Connection(Connection{Outcome: o})
	}
	l.Request(Request{Status: 200})
	l.Request(Request{ID: "none"})
	if first, second := <-failed.C, <-failed.C; len(failed.C) != 0 || first.Outcome != Unreachable || second.ID != "none" {
		t.Errorf("failed: %+v, %+v and %d more", first, second, len(failed.C))
	}
}

// TestFollow: who follows gets what it wants of the lines, with and without a file; one
// that is too slow keeps nothing waiting.
func TestFollow(t *testing.T) {
	var out bytes.Buffer
	for _, to := range []io.Writer{nil, &out} {
		l := NewLog(to, func(int) {}, func(error) {})
		if l.Wants(false) != (to != nil) || !l.Wants(true) {
			t.Error("a line that is of no use is wanted, or one that is of use is not")
		}
		all, shop := l.Follow(func(*Request) bool { return true }), l.Follow(func(r *Request) bool { return r.Route == "shop" })
		if !l.Wants(false) {
			t.Error("a line that is followed is not wanted")
		}
		l.Request(Request{Route: "blog", Status: 200})
		l.Request(Request{Route: "shop", Status: 200})
		if first := <-shop.C; first.Route != "shop" || len(shop.C) != 0 || len(all.C) != 2 {
			t.Errorf("the first line of shop is %+v", first)
		}
		all.Close()
		for range followRoom + 3 {
			l.Request(Request{Route: "shop"})
		}
		if shop.Lost() != 3 || all.Lost() != 0 || len(all.C) != 2 {
			t.Errorf("%d and %d lines were lost", shop.Lost(), all.Lost())
		}
		shop.Close()
		if l.Wants(false) != (to != nil) {
			t.Error("none follows, and a line is wanted")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(out.String(), "\n") != followRoom+5 {
		t.Errorf("%d lines are written", strings.Count(out.String(), "\n"))
	}
}

// TestRequestAllocations: a request that went well costs nothing where there is no file
// and no follower.
func TestRequestAllocations(t *testing.T) {
	l := NewLog(nil, nil, nil)
	if n := testing.AllocsPerRun(100, func() { _ = l.Wants(false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
