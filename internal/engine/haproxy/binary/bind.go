package binary

import (
	"net/netip"
	"strconv"
	"strings"
)

// Bind is one address on which a configuration makes HAProxy listen.
type Bind struct {
	// Line is the line in the text, from 1; Section what it stands in, as "frontend web".
	Line    int
	Section string
	// Network is tcp, udp or unix.
	Network string
	// Address is what is bound by tcp and udp, without a zone.
	Address netip.AddrPort
	// Only6 means that :: does not take IPv4 (v6only).
	Only6 bool
	// Path is that of a unix socket.
	Path string
	// Elsewhere is why the address cannot be probed from here, in words; usually empty.
	Elsewhere string
	// Free means that the address need not exist (transparent).
	Free bool
}

// String is the address as HAProxy would write it, as 0.0.0.0:80 or /run/x.sock.
func (b Bind) String() string {
	switch b.Network {
	case "unix":
		return b.Path
	case "udp":
		return "udp@" + b.Address.String()
	default:
		return b.Address.String()
	}
}

// maxRange bounds the ports of a range: more are a mistake, and not listed.
const maxRange = 4096

// Binds lists what a configuration makes HAProxy listen on, as far as its text shows it:
// not in .if blocks, at host names or for local peers, and not in lines that HAProxy would
// refuse. environ gives the value of "${NAME}", under the text's own setenv and presetenv;
// nil means that all are empty.
func Binds(text string, environ func(name string) string) []Bind {
	r := bindReader{environ: environ, own: map[string]string{}}
	for line := range strings.Lines(text) {
		r.line++
		words, err := Words(line, r.env)
		if err != nil || len(words) == 0 {
			continue
		}
		r.read(words)
	}
	return r.binds
}

type bindReader struct {
	environ func(string) string
	own     map[string]string
	line    int
	kind    string // of the section
	section string
	depth   int // of .if
	binds   []Bind
}

func (r *bindReader) env(name string) string {
	if value, ok := r.own[name]; ok {
		return value
	}
	if r.environ == nil {
		return ""
	}
	return r.environ(name)
}

// IsSection reports whether a line that begins with the word begins a section.
func IsSection(word string) bool {
	switch word {
	case "global", "defaults", "frontend", "backend", "listen", "peers", "log-forward", "resolvers", "userlist", "mailers", "ring",
		"cache", "program", "http-errors", "fcgi-app", "crt-store", "traces", "log-profile", "acme", "haproxy-lua":
		return true
	}
	return false
}

func (r *bindReader) read(words []string) {
	switch first := words[0]; {
	case first == ".if":
		r.depth++
	case first == ".endif":
		r.depth = max(r.depth-1, 0)
	case r.depth > 0:
	case IsSection(first):
		r.kind, r.section = first, strings.Join(words[:min(len(words), 2)], " ")
	case r.kind == "global" && first == "setenv" && len(words) >= 3:
		r.own[words[1]] = words[2]
	case r.kind == "global" && first == "presetenv" && len(words) >= 3:
		if r.env(words[1]) == "" {
			r.own[words[1]] = words[2]
		}
	case r.kind == "global" && first == "stats" && len(words) >= 3 && words[1] == "socket":
		r.add(words[2], "tcp", words[3:])
	case (r.kind == "frontend" || r.kind == "listen" || r.kind == "peers" || r.kind == "log-forward") && first == "bind" && len(words) >= 2:
		r.add(words[1], "tcp", words[2:])
	case r.kind == "log-forward" && first == "dgram-bind" && len(words) >= 2:
		r.add(words[1], "udp", words[2:])
	}
}

// add lists what one bind line binds: several addresses with a comma between.
func (r *bindReader) add(list, network string, params []string) {
	common := Bind{Line: r.line, Section: r.section}
	for i, p := range params {
		switch p {
		case "v6only":
			common.Only6 = true
		case "transparent":
			common.Free = true
		case "interface", "namespace":
			if i+1 < len(params) {
				common.Elsewhere = "it is bound in the " + p + " " + params[i+1]
			}
		}
	}
	for _, word := range strings.Split(list, ",") {
		r.binds = append(r.binds, bindsOf(word, network, common)...)
	}
}

// bindsOf reads one address: [family@]address:port[-port] or a path.
func bindsOf(word, network string, b Bind) []Bind {
	family := ""
	if prefix, rest, ok := strings.Cut(word, "@"); ok && !strings.ContainsAny(prefix, "/:.") {
		family, word = prefix, rest
	}
	switch family {
	case "", "ipv4", "ipv6", "tcp", "tcp4", "tcp6", "mptcp", "mptcp4", "mptcp6":
	case "udp", "udp4", "udp6", "quic", "quic4", "quic6":
		network = "udp"
	case "unix", "uxst", "uxdg":
	default: // abns, fd, sockpair, rhttp: nothing that another could hold
		return nil
	}
	if strings.HasPrefix(family, "ux") || family == "unix" || family == "" && strings.HasPrefix(word, "/") {
		if word == "" {
			return nil
		}
		b.Network, b.Path = "unix", word
		return []Bind{b}
	}
	host, ports := splitPort(word)
	address, ok := bindAddress(host, strings.HasSuffix(family, "6"))
	first, last, okPorts := portRange(ports)
	if !ok || !okPorts {
		return nil
	}
	b.Network = network
	var binds []Bind
	for port := first; port <= last; port++ {
		b.Address = netip.AddrPortFrom(address, uint16(port)) //nolint:gosec // portRange keeps within 1 to 65535
		binds = append(binds, b)
	}
	return binds
}

// splitPort cuts at the last colon, as HAProxy does, unless the word ends with a bracket.
func splitPort(word string) (host, ports string) {
	at := strings.LastIndexByte(word, ':')
	if at < 0 || strings.HasSuffix(word, "]") {
		return word, ""
	}
	return word[:at], word[at+1:]
}

func bindAddress(host string, six bool) (netip.Addr, bool) {
	if host == "" || host == "*" {
		if six {
			return netip.IPv6Unspecified(), true
		}
		return netip.IPv4Unspecified(), true
	}
	if inside, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inside, "]")
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return address.WithZone(""), true
}

func portRange(ports string) (first, last int, ok bool) {
	from, to, isRange := strings.Cut(ports, "-")
	first, err := strconv.Atoi(from)
	if err != nil {
		return 0, 0, false
	}
	last = first
	if isRange {
		if last, err = strconv.Atoi(to); err != nil {
			return 0, 0, false
		}
	}
	return first, last, first >= 1 && last <= 65535 && last >= first && last-first < maxRange
}
