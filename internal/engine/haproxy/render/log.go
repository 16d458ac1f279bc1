package render

import (
	"fmt"
	"strings"

	"fairway/internal/engine/haproxy/quote"
)

// HAProxy reports each request and connection in one line, from which package
// haproxy makes metrics and the access log. The lines go through a ring, which a
// worker forwards over a stream: nothing is lost while the reader is busy, as it would
// be with datagrams, of which a socket holds ten on Linux.
//
// A ring whose reader is away connects again without a pause, thousands of times a
// second. So it sends to a relay in HAProxy itself, which waits before it connects; what
// is reported meanwhile is lost. The relay listens on an abstract socket, because a file
// can be removed. Every process on the machine could connect to it: so each line begins
// with a key (Options.LogKey).
//
// From HAProxy 3.4 on a ring sends to IP addresses alone, which anybody on the machine
// could connect to. There lines come as datagrams.

// Variables that the rules set for the log, in the scope of the request or of the
// connection; what is not set is "-" in a line.
const (
	// VarCode is the code of an answer of Fairway's own, as in X-Fairway-Error.
	VarCode = "txn.code"
	// VarID is the request's ID, VarClient the address of the client where a rule asked for
	// it, VarHost and VarPath are in canonical form.
	VarID     = "txn.id"
	VarClient = "txn.client"
	VarHost   = "txn.host"
	VarPath   = "txn.path"
	// varPeer is the address that the connection came from.
	varPeer = "sess.client"
	// varWeight is for how many requests a line stands, itself included.
	varWeight = "txn.weight"
)

// Kinds of lines: the first field.
const (
	LineRequest    = "H"
	LineConnection = "T"
)

// The fields of a line by their place, separated by tabs. What comes from clients and
// may be long is last, as a line is cut at logLength.
const (
	FieldKind = iota
	FieldRoute
	FieldStatus   // of a request; of a connection the bytes that the client sent
	FieldDuration // milliseconds
	FieldRetries  // with a plus in front when another server was chosen
	FieldCode
	FieldEnd     // HAProxy's termination state
	FieldSection // the frontend's name when there is no backend
	FieldServer  // "<NOSRV>" for none
	FieldBytes   // to the client
	FieldWeight  // how many requests the line stands for; empty for one
	FieldTime    // of the end, milliseconds since 1970
	FieldListener
	FieldTLS    // 0 or 1
	FieldClient // its address, a comma, and that of the connection; "-" for one that is not known
	FieldID
	FieldProto
	FieldMethod
	FieldCaptured // headers, in braces and separated by "|"; empty for none
	FieldHost
	FieldPath
	FieldCount
)

// RouteKey stands for the ID of a route in map values and in the log.
func RouteKey(id string) string { return hashed(id, 16) }

// Relay is the section that carries lines from the ring. Its one server is no endpoint.
const Relay = "fairway-relay"

const (
	logRing   = "fairway-log"
	logLength = 8192
	// logSize is how many bytes of lines a worker holds for a reader that is away.
	logSize = 4 << 20
)

// Datagrams is the path of the socket for datagrams beside Options.LogSocket.
func Datagrams(logSocket string) string { return logSocket + ".datagrams" }

// ifRing begins the lines for a HAProxy with a ring of its own, which .endif ends.
const ifRing = ".if version_before(3.4)"

func (r *renderer) writeRing(t *text) {
	if r.o.LogSocket == "" {
		return
	}
	// HAProxys in several containers may share one network: each has a name of its own.
	relay := "abns@fairway-" + hashed(r.o.Dir+"\x00"+r.o.LogKey, 24)
	t.WriteString("\n" + ifRing + "\nring " + logRing + "\n")
	t.line(`description "requests and connections, for Fairway"`)
	t.line("format raw")
	t.line("maxlen %d", logLength)
	t.line("size %d", logSize)
	t.line("timeout connect 1s")
	t.line("timeout server 10s")
	t.line("server relay %s log-proto octet-count", relay)
	t.section("listen %s", Relay)
	t.line("mode tcp")
	t.line("bind %s", relay)
	t.line("timeout client 24h")
	t.line("timeout server 24h")
	t.line("timeout connect 1s")
	t.line("retries 0")
	t.line("tcp-request inspect-delay 250ms")
	t.line("tcp-request content accept if WAIT_END")
	t.line("server fairway unix@%s", r.o.LogSocket)
	t.WriteString(".endif\n")
}

// writeLog writes where and in which form a frontend reports.
func (r *renderer) writeLog(t *text, tcp bool) {
	if r.o.LogSocket == "" {
		return
	}
	fields := []string{
		quote.Secret(r.o.LogKey) + LineRequest, routeField, "%ST", "%Ta", "%rc", variable(VarCode), "%ts", "%b", "%s", "%B", variable(varWeight),
		"%[date(0,ms)]", "%f", "%[ssl_fc]", variable(VarClient) + "," + variable(varPeer), variable(VarID), "%HV", "%HM", "%hr", variable(VarHost), variable(VarPath),
	}
	if tcp {
		fields[FieldKind], fields[FieldStatus], fields[FieldDuration] = quote.Secret(r.o.LogKey)+LineConnection, "%U", "%Tt"
		fields[FieldID], fields[FieldProto], fields[FieldMethod], fields[FieldCaptured], fields[FieldPath] = "-", "TCP", "-", "", "-"
	}
	t.line(ifRing)
	t.line("log ring@%s len %d format raw local0", logRing, logLength)
	t.line(".endif")
	t.since("3.4", fmt.Sprintf("log %s len %d format raw local0", Datagrams(r.o.LogSocket), logLength))
	t.line("option dontlognull")
	t.line(`log-format "%s"`, strings.Join(fields, `\t`))
}

// A line costs HAProxy and Fairway together about half of what a request costs. So
// without an access log a listener with sampleFrom requests a second and more reports
// about sampleRate of them, and each line stands for those that are left out for it.
// Answers of Fairway's own, and those that say 5xx, are all reported.
const (
	sampleFrom = 500
	sampleRate = 250
)

// writeSampling writes which answers of endpoints are reported.
func (r *renderer) writeSampling(t *text) {
	if r.o.LogSocket == "" || r.o.AccessLog {
		return
	}
	t.line("http-response set-var(%s) fe_req_rate,div(%d) if { fe_req_rate ge %d } { status lt 500 }", varWeight, sampleRate, sampleFrom)
	t.line("http-response set-log-level silent if { var(%s) -m found } !{ rand,mod(%s) 0 }", varWeight, varWeight)
}

// routeField takes the route out of the value of the map that led to it.
const routeField = "%[var(txn.r),field(2,|)]"

func variable(name string) string { return "%[var(" + name + ")]" }

// ClientOf is the client's address in FieldClient: the one that a rule asked for, or the
// connection's. Lines of workers with older rules have one alone.
func ClientOf(field string) string {
	client, peer, _ := strings.Cut(field, ",")
	if client == "-" {
		return strings.Trim(peer, "-")
	}
	return client
}
