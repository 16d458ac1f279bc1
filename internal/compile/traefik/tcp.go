package traefik

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// tcp returns the routes of the routers for TCP.
func (r *reader) tcp() (list []*draft.Builder) {
	r.each("tcp.routers", func(p *part) { list = append(list, r.tcpRouter(p)) })
	return list
}

// serverName is a rule that names servers and nothing else.
var serverName = regexp.MustCompile("^\\s*(?i:HostSNI)\\(\\s*[`\"]([^`\"]*)[`\"]\\s*\\)\\s*$")

func (r *reader) tcpRouter(p *part) *draft.Builder {
	b := draft.NewBuilder("traefik.tcp."+chars.Printable(p.name), p.raw("entrypoints"))
	b.Backend.Scheme = route.SchemeTCP
	r.refuseUnknown(b, p)
	passes := strings.EqualFold(p.get("tls.passthrough"), "true")
	if p.below("tls") && !passes && !strings.EqualFold(p.get("tls"), "false") {
		b.Fault(p.raw("tls"), draft.Refuse(route.CodeUnsupported, "TLS of connections cannot be ended", "hand it on with tls.passthrough=true"))
	}
	for alternative := range strings.SplitSeq(p.get("rule"), "||") {
		m := serverName.FindStringSubmatch(alternative)
		switch {
		case m == nil:
			b.FaultOfMatch(p.raw("rule"), draft.Refuse(route.CodeBadRule, "HostSNI is all that is looked at", "write HostSNI(`*`), or a name with tls.passthrough=true"))
		case m[1] == "*":
			b.L4.Names = nil
		case !passes:
			b.FaultOfMatch(p.raw("rule"), draft.Refuse(route.CodeBadRule, "without TLS there is no name of a server", "write HostSNI(`*`), or add tls.passthrough=true"))
		default:
			h, err := route.ParseHost(m[1])
			b.FaultOfMatch(p.raw("rule"), err)
			b.L4.Names = append(b.L4.Names, h)
		}
	}
	r.tcpPoints(b, p)
	for _, name := range items(b, p.raw("middlewares"), p.get("middlewares")) {
		r.tcpMiddleware(b, name, p.raw("middlewares"))
	}
	r.tcpServe(b, p)
	return b
}

// tcpPoints reads the port on which connections come in.
func (r *reader) tcpPoints(b *draft.Builder, p *part) {
	label := p.raw("entrypoints")
	points := items(b, label, p.get("entrypoints"))
	if len(points) == 0 {
		b.FaultOfMatch(label, draft.Refuse(route.CodeIncomplete, "it names no entry point", "add "+label))
	}
	for _, point := range points {
		number, err := strconv.ParseUint(r.EntryPoints[point], 10, 16)
		if err != nil || number == 0 {
			b.FaultOfMatch(label, draft.Refuse(route.CodeIncomplete, "the entry point "+chars.Excerpt(point)+" has no port here", "add it to traefik.entrypoints: "+chars.Printable(point)+"=2222"))
			continue
		}
		names, err := r.Ports.TCP(uint16(number))
		b.FaultOfMatch(label, err)
		b.L4.Port = uint16(number)
		b.L4.Listeners = append(b.L4.Listeners, names...)
	}
	slices.Sort(b.L4.Listeners)
	b.L4.Listeners = slices.Compact(b.L4.Listeners)
}

func (r *reader) tcpMiddleware(b *draft.Builder, name, label string) {
	if r.skips(name) {
		b.Ignored(label, "the middleware "+chars.Printable(name)+" is left out, as traefik.skip says")
		return
	}
	p, refused := r.resolve("tcp.middlewares", name)
	if refused != nil {
		b.FaultOfCheck(label, refused)
		return
	}
	for _, f := range p.order {
		switch strings.ToLower(f.path) {
		case "ipallowlist.sourcerange", "ipwhitelist.sourcerange":
			prefixes, err := draft.ReadPrefixes(f.value)
			b.FaultOfCheck(label, err)
			if b.Filter.IPAllow != nil {
				b.FaultOfCheck(label, draft.Refuse(route.CodeContradicts, "the route has two middlewares for addresses", "put both into one"))
			}
			b.Filter.IPAllow = &route.IPAllow{Prefixes: prefixes}
		default:
			b.FaultOfCheck(label, draft.Refuse(route.CodeUnsupported, "the middleware "+chars.Printable(name)+" has "+chars.Printable(f.path)+", which cannot be had", ""))
		}
	}
	if b.Filter.IPAllow == nil {
		b.FaultOfCheck(label, draft.Refuse(route.CodeIncomplete, "the middleware "+chars.Printable(name)+" has no sourceRange", ""))
	}
}

func (r *reader) tcpServe(b *draft.Builder, p *part) {
	services := r.doc.names("tcp.services")
	name, provider, _ := strings.Cut(p.get("service"), "@")
	switch {
	case provider != "" && provider != "docker" && provider != "swarm", name != "" && !slices.Contains(services, name):
		b.Fault(p.raw("service"), draft.Refuse(route.CodeIncomplete, "the service "+chars.Printable(name)+" is not defined by the labels of this one", "add traefik.tcp.services."+chars.Printable(name)+".loadbalancer.server.port here"))
	case name == "" && len(services) == 1:
		name = services[0]
	case name == "" && slices.Contains(services, p.name):
		name = p.name
	case name == "" && len(services) > 1:
		b.Fault(p.raw("service"), draft.Refuse(route.CodeIncomplete, "it has several services, and the router names none", "say which with "+p.raw("service")))
	}
	service := r.doc.parts["tcp.services"][name]
	r.refuseUnknown(b, service)
	r.address(b, service, "tcp.services", cmp.Or(name, p.name))
	if strings.EqualFold(service.get("loadbalancer.server.tls"), "true") {
		b.Fault(service.raw("loadbalancer.server.tls"), draft.Refuse(route.CodeUnsupported, "connections are passed on as they are", "take it off"))
	}
	if text := service.get("loadbalancer.proxyprotocol.version"); text != "" {
		n, err := draft.ReadInt(text, 1, 2)
		b.Fault(service.raw("loadbalancer.proxyprotocol.version"), err)
		b.Backend.SendProxy = n
	}
	b.Group = group(b, name)
}
