package render

import (
	"net/netip"
	"strings"

	"fairway/internal/engine/haproxy/quote"
)

// Extra is what the operator adds to the configuration. The zero value adds nothing.
type Extra struct {
	// Global and Frontend are lines for the global section and for each listener that
	// takes requests. They are written as they are: the caller has had them checked.
	Global, Frontend []string
	// Captures are headers of requests that the access log holds.
	Captures []Capture
	// Statistics is HAProxy's own page; nil for none.
	Statistics *Statistics
}

// Capture is a header of requests and how many of its bytes are kept.
type Capture struct {
	Name   string
	Length int
}

// Statistics is HAProxy's page about itself. It names sections by HAProxy's names.
type Statistics struct {
	// URI is its path and query: "/admin?stats".
	URI string
	// User and Password open it; when both are empty it is open to all.
	User, Password string
	// Address is where it is served; zero: on every listener that takes requests.
	Address netip.AddrPort
}

func (r *renderer) writeExtraListener(t *text) {
	for _, c := range r.o.Extra.Captures {
		t.line("capture request header %s len %d", quote.Word(c.Name), c.Length)
	}
	if s := r.o.Extra.Statistics; s != nil && !s.Address.IsValid() {
		s.write(t)
	}
	t.byOperator(r.o.Extra.Frontend)
}

// writeStatistics writes the section of the page with an address of its own.
func (r *renderer) writeStatistics(t *text) {
	s := r.o.Extra.Statistics
	t.section("frontend statistics from %s", httpSection)
	for _, a := range r.bindAddress(s.Address) {
		t.line("bind %s", a)
	}
	s.write(t)
	t.line("http-request return status 404 if !{ url -m beg -- %s }", quote.Word(s.URI))
}

func (s *Statistics) write(t *text) {
	t.line("stats enable")
	t.line("stats uri %s", quote.Word(s.URI))
	t.line("stats refresh 30s")
	t.line("stats hide-version")
	if s.User != "" {
		t.line("stats realm %s", quote.Word("Strictly Private"))
		t.line("stats auth %s", quote.Secret(quote.Word(s.User+":"+s.Password)))
	}
}

// byOperator writes lines as they are, but for the blanks around them.
func (t *text) byOperator(lines []string) {
	if len(lines) > 0 {
		t.note("written by the operator")
	}
	for _, line := range lines {
		t.line("%s", quote.SecretLine(strings.TrimSpace(line)))
	}
}
