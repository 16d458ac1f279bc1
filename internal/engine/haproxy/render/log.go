package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// HAProxy reports each request and connection in one line, from which package
// haproxy makes metrics and the access log. The lines go through a ring, which a
// worker forwards over a stream: nothing is lost while the reader is busy, and it
// costs a request a third of what a datagram costs. (A socket for datagrams holds
// ten of them on Linux, and HAProxy drops the next.)
//
// A ring whose reader is away connects to it again without a pause, thousands of
// times a second, and Fairway may well be away. So it sends to a relay in HAProxy
// itself, which waits before it connects; what is reported meanwhile is lost. The relay
// listens on an abstract socket, because a file can be removed while HAProxy serves
// on, and then it would be the relay that is away. An abstract socket has no owner:
// every process on the machine could connect to it. So each line begins with a key
// (Options.LogKey), and what begins otherwise is not read.
//
// From HAProxy 3.4 on a ring sends to IP addresses alone, which anybody on the machine
// could connect to. There lines come as datagrams after all.

// Variables that the rules set for the log, in the scope of the request or of the
// connection; what is not set is "-" in a line.
const (
	// VarCode is the code of an answer of Fairway's own, as in X-Fairway-Error.
	VarCode = "txn.code"
	// VarID is the request's ID, VarClient the address of the client, VarHost and
	// VarPath are in canonical form. They are asked for with Options.AccessLog only.
	VarID     = "txn.id"
	VarClient = "txn.client"
	VarHost   = "txn.host"
	VarPath   = "txn.path"
	// varWeight is for how many requests a line stands, itself included.
	varWeight = "txn.weight"
)

// Kinds of lines: the first field.
const (
	LineRequest    = "H"
	LineConnection = "T"
)

// The fields of a line by their place, separated by tabs. Those from FieldTime on
// are there with Options.AccessLog only. What comes from clients and may be long is
// last, as a line is cut at logLength.
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
	FieldTLS // 0 or 1
	FieldClient
	FieldID
	FieldProto
	FieldMethod
	FieldCaptured // headers, in braces and separated by "|"; empty for none
	FieldHost
	FieldPath
	FieldCount
)

// RouteKey stands for the ID of a route in map values and in the log.
func RouteKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

// frontendPrefix begins the names of the frontends of listeners.
const frontendPrefix = "in-"

// FrontendName is HAProxy's name for a listener; bytes that it does not take in a
// name are written as "_" and two digits in hexadecimal.
func FrontendName(listener string) string {
	var b strings.Builder
	b.WriteString(frontendPrefix)
	for i := range len(listener) {
		c := listener[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// ListenerOf is the listener with a FrontendName; empty when the name is none.
func ListenerOf(frontend string) string {
	rest, ok := strings.CutPrefix(frontend, frontendPrefix)
	if !ok {
		return ""
	}
	var b strings.Builder
	for before, after, escaped := strings.Cut(rest, "_"); ; before, after, escaped = strings.Cut(rest, "_") {
		b.WriteString(before)
		if !escaped {
			return b.String()
		}
		if len(after) < 2 {
			return ""
		}
		c, err := hex.DecodeString(after[:2])
		if err != nil {
			return ""
		}
		b.Write(c)
		rest = after[2:]
	}
}

// Relay is the section that carries the lines from the ring to Fairway. Its one
// server is no endpoint.
const Relay = "fairway-relay"

const (
	logRing   = "fairway-log"
	logLength = 8192
	// logSize is how many bytes of lines a worker holds for a reader that is away.
	logSize = 4 << 20
)

// Datagrams is the path of the socket for datagrams beside Options.LogSocket.
func Datagrams(logSocket string) string { return logSocket + ".datagrams" }

// Conditions on HAProxy's version, for lines of the configuration.
const (
	ifRing      = ".if version_before(3.4)"
	ifDatagrams = ".if version_atleast(3.4)"
	endIf       = ".endif"
)

// logSection is the ring; no lines when nothing is logged.
func logSection(o Options) []string {
	if o.LogSocket == "" {
		return nil
	}
	relay := relayAddress(o)
	return []string{
		ifRing,
		"ring " + logRing,
		"    description \"requests and connections, for Fairway\"",
		"    format raw",
		fmt.Sprintf("    maxlen %d", logLength),
		fmt.Sprintf("    size %d", logSize),
		"    timeout connect 1s",
		"    timeout server 10s",
		"    server relay " + relay + " log-proto octet-count",
		"",
		"listen " + Relay,
		"    mode tcp",
		"    bind " + relay,
		"    timeout client 24h",
		"    timeout server 24h",
		"    timeout connect 1s",
		"    retries 0",
		"    tcp-request inspect-delay 250ms",
		"    tcp-request content accept if WAIT_END",
		"    server fairway unix@" + o.LogSocket,
		endIf,
	}
}

// relayAddress is where the relay listens. The name is another one for each
// directory and key, as HAProxys in several containers may share one network.
func relayAddress(o Options) string {
	sum := sha256.Sum256([]byte(o.Dir + "\x00" + o.LogKey))
	return "abns@fairway-" + hex.EncodeToString(sum[:12])
}

// logLines belong into each frontend; tcp says of one in TCP mode.
func logLines(o Options, tcp bool) []string {
	if o.LogSocket == "" {
		return nil
	}
	kind, status, duration, bytes := LineRequest, "%ST", "%Ta", "%B"
	if tcp {
		kind, status, duration = LineConnection, "%U", "%Tt"
	}
	fields := []string{secret(o.LogKey) + kind, routeField, status, duration, "%rc", variable(VarCode), "%ts", "%b", "%s", bytes, variable(varWeight)}
	if o.AccessLog {
		fields = append(fields, "%[date(0,ms)]", "%f", "%[ssl_fc]", variable(VarClient))
		if tcp {
			fields = append(fields, "-", "TCP", "-", "", variable(VarHost), "-")
		} else {
			fields = append(fields, variable(VarID), "%HV", "%HM", "%hr", variable(VarHost), variable(VarPath))
		}
	}
	return []string{
		ifRing,
		fmt.Sprintf("log ring@%s len %d format raw local0", logRing, logLength),
		endIf,
		ifDatagrams,
		fmt.Sprintf("log %s len %d format raw local0", Datagrams(o.LogSocket), logLength),
		endIf,
		"option dontlognull",
		`log-format "` + strings.Join(fields, `\t`) + `"`,
	}
}

// A line costs HAProxy and Fairway together about half of what a request costs. So
// without an access log not every one is reported on a listener that is busy: from
// sampleFrom requests a second on, so many lines are left out that about sampleRate a
// second remain, and each stands for as many requests as are left out for it. Answers
// of Fairway's own, and those that say 5xx, are all reported.
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
