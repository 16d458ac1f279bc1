package dockerflow

import (
	"slices"
	"strings"

	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// status says what became of a parameter of Docker Flow.
type status string

const (
	statusKept    status = "kept"
	statusFixed   status = "fixed"     // kept, but for what was wrong with it
	statusIgnored status = "no effect" // accepted, and not needed here
	statusDropped status = "dropped"   // a problem says what to use
)

// Parameter is what stands behind com.df. and in front of an index.
type Parameter struct {
	Name    string
	status  status
	meaning string // for docs/docker-flow.md
	native  string // what does the same in labels of Fairway, or otherwise

	// Indexed is true where it belongs to a destination. Otherwise calls have it in the
	// query, or in the form, under its name in any case; Exact ones in the query alone,
	// under their exact names. LabelOnly ones are no parameters of calls.
	Indexed, Exact, LabelOnly bool
	// Boolean is true where a call says yes or no, for the whole service.
	Boolean bool
	// Protects is true of those without which a service would serve more requests, or
	// requests of more clients.
	Protects bool

	match     bool   // is part of what says which requests are taken
	check     bool   // is part of what decides who may ask
	lines     bool   // may have several lines
	forgotten bool   // is not kept with the route
	refused   string // why it cannot be had; with noted the route is served all the same
	noted     bool
	shown     func(value string) string // what is shown of the value; nil for all of it
}

// Parameters returns the parameters of the dialect.
func Parameters() []Parameter { return slices.Clone(parameters) }

// parameters are the parameters of Docker Flow: the one table that its labels are
// read by and that docs/docker-flow.md is printed from.
var parameters = []Parameter{
	{Name: "notify", status: statusKept, LabelOnly: true, forgotten: true, meaning: "Must be true, or the service is left alone.", native: "any label that begins with `fairway.`"},
	{Name: "distribute", status: statusIgnored, Boolean: true, forgotten: true, meaning: "Every replica of Fairway reads Docker itself.", native: "not needed"},
	{Name: "serviceName", status: statusIgnored, LabelOnly: true, forgotten: true, meaning: "The name of the service is the one that Docker knows.", native: "not needed"},
	{Name: "aclName", status: statusKept, meaning: "Of two services that both have one and ask for the same requests, the one with the lower name has them.", native: "`fairway.priority`"},
	{Name: "replicas", status: statusFixed, Exact: true, meaning: "0 takes the service out. What is no number is no longer taken for 0.", native: "`fairway.enable=false`"},
	{Name: "proxyInstanceName", status: statusKept, meaning: "With FILTER_PROXY_INSTANCE_NAME only services of the proxy's own name are served.", native: "none"},

	{Name: "port", status: statusKept, Indexed: true, meaning: "The port of the service.", native: "`fairway.port`"},
	{Name: "httpsPort", status: statusKept, Indexed: true, meaning: "The port of the service for requests that came in by srcHttpsPort; spoken to without TLS unless sslVerifyNone is set.", native: "a second route with `fairway.<name>.port`"},
	{Name: "srcPort", status: statusFixed, Indexed: true, match: true, meaning: "Only requests of the listener with this port; 80 beside httpsPort. For tcp and sni the port on which connections come in. A port without a listener is a problem.", native: "`fairway.listen` for `fairway.scheme=tcp`"},
	{Name: "srcHttpsPort", status: statusFixed, Indexed: true, match: true, meaning: "Like srcPort for httpsPort; 443 unless it is set.", native: "none"},
	{Name: "servicePath", status: statusKept, Indexed: true, match: true, meaning: "Paths, compared as pathType says; `/demo` takes `/demolition`, too. The longest path wins. In sni mode the names of the TLS server.", native: "`fairway.path`, `fairway.sni`"},
	{Name: "servicePathExclude", status: statusKept, Indexed: true, match: true, meaning: "Paths that are not taken, compared alike.", native: "`fairway.rule` with `!PathPrefix(…)`"},
	{Name: "pathType", status: statusFixed, Indexed: true, match: true, meaning: "How paths are compared: path, path_beg (the default), path_end, path_sub, path_dir, path_dom, path_reg, each with -i and -m; req_ssl_sni in sni mode. It holds for every path of the list.", native: "`fairway.path`, `fairway.path-exact`, `fairway.path-regexp`"},
	{Name: "serviceDomain", status: statusFixed, Indexed: true, match: true, meaning: "Hosts, whole names without regard to case and port; a star in front stands for one label or more, in the one name that has it. In tcp and sni mode the names of the TLS server.", native: "`fairway.host`"},
	{Name: "serviceDomainAlgo", status: statusFixed, match: true, meaning: "How hosts are compared: hdr(host), hdr_beg, hdr_end, hdr_dom, hdr_sub, hdr_reg. The default is the whole name; hdr_beg(host) is the default of old.", native: "`fairway.host` with `*.` or `**.`, `fairway.rule` with `HostRegexp(…)`"},
	{Name: "serviceDomainMatchAll", status: statusKept, Exact: true, Boolean: true, match: true, meaning: "True is serviceDomainAlgo hdr_dom(host).", native: "`fairway.host=**.example.com`"},
	{Name: "serviceHeader", status: statusFixed, Protects: true, shown: shownHeaders, Indexed: true, match: true, meaning: "Headers that must be there, name:value, all of them. The value begins behind the first colon; an item without a value refuses the route.", native: "`fairway.rule` with `Header(…)`"},
	{Name: "userAgent", status: statusKept, Indexed: true, match: true, meaning: "Words of which one must be part of User-Agent, without regard to case.", native: "`fairway.rule` with `HeaderRegexp(…)`"},
	{Name: "reqMode", status: statusFixed, Indexed: true, match: true, meaning: "http (the default), tcp or sni, in any case.", native: "`fairway.scheme`"},
	{Name: "isDefaultBackend", status: statusKept, Boolean: true, match: true, meaning: "The service takes what no other takes; of several the one that was there first.", native: "`fairway.host=*` with a low `fairway.priority`"},

	{Name: "httpsOnly", status: statusKept, Indexed: true, meaning: "Sends requests without TLS to https. Without an index it holds for every destination.", native: "`fairway.redirect-https`"},
	{Name: "httpsRedirectCode", status: statusKept, Indexed: true, meaning: "The status of redirects to https; 302 unless it is set.", native: "none; `fairway.redirect-https` answers 308 or 301"},
	{Name: "redirectWhenHttpProto", status: statusFixed, Boolean: true, meaning: "Redirects when X-Forwarded-Proto is http. The header counts only from trusted proxies; otherwise the connection does.", native: "`fairway.redirect-https` with trusted proxies"},
	{Name: "redirectUnlessHttpsProto", status: statusFixed, Boolean: true, meaning: "Redirects unless X-Forwarded-Proto is https, which counts likewise.", native: "`fairway.redirect-https` with trusted proxies"},
	{Name: "redirectFromDomain", status: statusFixed, Indexed: true, meaning: "Sends these hosts to the first serviceDomain with 301, with the scheme of the request. Without a serviceDomain it is a problem, and nothing else is.", native: "`fairway.<name>.host` with `fairway.<name>.redirect`"},
	{Name: "denyHttp", status: statusKept, Indexed: true, check: true, meaning: "403 without TLS.", native: "`fairway.redirect-https`"},
	{Name: "allowedMethods", status: statusKept, Indexed: true, check: true, meaning: "403 for all other methods.", native: "`fairway.rule` with `Method(…)`"},
	{Name: "deniedMethods", status: statusKept, Indexed: true, check: true, meaning: "403 for these methods.", native: "`fairway.rule` with `!Method(…)`"},
	{Name: "verifyClientSsl", status: statusKept, Indexed: true, check: true, meaning: "403 without a client certificate; needs a listener with authorities for them.", native: "none"},
	{Name: "users", status: statusFixed, Exact: true, Protects: true, shown: shownUsers, lines: true, check: true, meaning: "Users with their passwords, or names whose passwords are in the secret or among the global users. They replace the global users. Only hashes are kept.", native: "`fairway.basic-auth`"},
	{Name: "usersSecret", status: statusKept, Exact: true, check: true, meaning: "The file dfp_users_<name> among the secrets.", native: "`fairway.basic-auth=file:…`"},
	{Name: "usersPassEncrypted", status: statusKept, Exact: true, Boolean: true, check: true, meaning: "The passwords of users are hashes.", native: "`fairway.basic-auth` knows hashes only"},
	{Name: "ignoreAuthorization", status: statusKept, Indexed: true, meaning: "Asks for no user.", native: "a route without `basic-auth`"},
	{Name: "reqPathSearch", status: statusFixed, meaning: "An expression, RE2, whose first match in the path is replaced by reqPathReplace.", native: "`fairway.strip-prefix`, `fairway.add-prefix`"},
	{Name: "reqPathReplace", status: statusKept, meaning: "See reqPathSearch; nothing when it is not there.", native: "`fairway.strip-prefix`, `fairway.add-prefix`"},
	{Name: "reqPathSearchReplace", status: statusFixed, Indexed: true, meaning: "Pairs of an expression and what replaces its first match, separated by colons, one after the other. Nothing is escaped on the way.", native: "`fairway.strip-prefix`, `fairway.add-prefix`"},
	{Name: "addReqHeader", status: statusFixed, Exact: true, shown: hidden, meaning: "Adds headers to the request: literal text, in the syntax of HAProxy. Headers that state who asks (`Forwarded`, `X-Real-Ip`, `X-Forwarded-For`, `-Host`, `-Port`, `-Proto`) stay Fairway's own.", native: "`fairway.headers.request.add.<name>`"},
	{Name: "addHeader", status: statusFixed, Exact: true, shown: hidden, meaning: "The old name of addReqHeader.", native: "`fairway.headers.request.add.<name>`"},
	{Name: "setReqHeader", status: statusFixed, Exact: true, shown: hidden, meaning: "Sets headers of the request.", native: "`fairway.headers.request.set.<name>`"},
	{Name: "setHeader", status: statusFixed, Exact: true, shown: hidden, meaning: "The old name of setReqHeader.", native: "`fairway.headers.request.set.<name>`"},
	{Name: "delReqHeader", status: statusKept, Exact: true, meaning: "Takes headers off the request.", native: "`fairway.headers.request.remove`"},
	{Name: "addResHeader", status: statusFixed, Exact: true, shown: shownHeaders, meaning: "Adds headers to the response.", native: "`fairway.headers.response.add.<name>`"},
	{Name: "setResHeader", status: statusFixed, Exact: true, shown: shownHeaders, meaning: "Sets headers of the response.", native: "`fairway.headers.response.set.<name>`"},
	{Name: "delResHeader", status: statusKept, Exact: true, meaning: "Takes headers off the response.", native: "`fairway.headers.response.remove`"},
	{Name: "compressionAlgo", status: statusFixed, meaning: "Compresses the answers of this service, with gzip.", native: "`fairway.compress`"},
	{Name: "compressionType", status: statusIgnored, meaning: "What can be compressed is.", native: "not needed"},

	{Name: "sessionType", status: statusFixed, meaning: "sticky-server ties a client to an instance by a cookie with the name of the service.", native: "`fairway.sticky`"},
	{Name: "timeoutServer", status: statusKept, Indexed: true, meaning: "Seconds until the header of the response; 504 after that.", native: "`fairway.timeout`"},
	{Name: "timeoutTunnel", status: statusKept, Indexed: true, meaning: "Seconds that a connection that is passed through may be silent.", native: "`fairway.idle`"},
	{Name: "timeoutClient", status: statusFixed, Indexed: true, meaning: "The same in tcp and sni mode, for the one service.", native: "`fairway.idle`"},
	{Name: "sslVerifyNone", status: statusKept, Indexed: true, meaning: "Speaks TLS with the service and takes any certificate.", native: "`fairway.scheme=https` with `fairway.tls.skip-verify`"},
	{Name: "outboundHostname", status: statusKept, Indexed: true, meaning: "A host that is dialled in the place of the instances.", native: "a service of the file source"},
	{Name: "checkTcp", status: statusFixed, Indexed: true, meaning: "Connects to every instance now and then, and leaves out those that refuse.", native: "`fairway.max-fails`"},
	{Name: "serviceGroup", status: statusKept, Indexed: true, meaning: "Services that name the same group and ask for the same connections share a backend, with all their instances; the policy and the checks are those of the first."},
	{Name: "balanceGroup", status: statusKept, Indexed: true, meaning: "roundrobin, leastconn, random or source.", native: "`fairway.balance`"},

	{Name: "letsencrypt.host", status: statusFixed, meaning: "Hosts that have certificates by themselves, with `acme.agree`: those of the service have them in any case, these also where a star stands for them or there is no serviceDomain.", native: "`acme.agree`"},
	{Name: "letsencrypt.testing", status: statusFixed, Boolean: true, meaning: "True has certificates for the hosts of the service from the authority of Fairway's own, which browsers do not trust either, in the place of a test authority.", native: "`fairway.tls=internal`"},
	{Name: "letsencrypt.email", status: statusIgnored, forgotten: true, meaning: "The account is one for all.", native: "`acme.email`"},

	{Name: "clitcpka", status: statusIgnored, Indexed: true, forgotten: true, meaning: "Connections are kept alive in any case.", native: "not needed"},
	{Name: "checkResolvers", status: statusIgnored, Boolean: true, forgotten: true, meaning: "Addresses come from Docker; names are resolved whenever they are dialled.", native: "not needed"},
	{Name: "discoveryType", status: statusIgnored, forgotten: true, meaning: "Instances are always found by Docker.", native: "not needed"},
	{Name: "connectionMode", status: statusIgnored, forgotten: true, meaning: "Connections are kept as long as both sides want them.", native: "not needed"},
	{Name: "xForwardedProto", status: statusIgnored, LabelOnly: true, forgotten: true, meaning: "The header is always set.", native: "not needed"},
	{Name: "userDef", status: statusIgnored, shown: hidden, Indexed: true, forgotten: true, meaning: "It was for templates.", native: "not needed"},
	{Name: "serviceCert", status: statusDropped, shown: hidden, lines: true, forgotten: true, noted: true, refused: "certificates do not belong into labels, which everybody can read", meaning: "Certificates are files, secrets, or sent with PUT cert.", native: "put the certificate where Fairway's certificates are, or send it with PUT cert"},
	{Name: "backendExtra", status: statusKept, Protects: true, shown: hidden, forgotten: true, refused: "text of HAProxy's configuration cannot be had", meaning: "A line of HAProxy's configuration, with HAProxy as the engine and for the services that `haproxy.snippets` names. Otherwise the route is refused, because it is not known what the text protects.", native: "use a label for what the text does, and leave this one out"},
	{Name: "templateFePath", status: statusDropped, forgotten: true, refused: "templates of HAProxy's configuration cannot be had", meaning: "Templates of HAProxy's configuration.", native: "use labels for what the template does, and leave this one out"},
	{Name: "templateBePath", status: statusDropped, forgotten: true, refused: "templates of HAProxy's configuration cannot be had", meaning: "Templates of HAProxy's configuration.", native: "use labels for what the template does, and leave this one out"},
}

// Shown returns what may be shown of the value of a label. What is a secret is decided
// by the parameter. Nothing is shown of one that does not exist.
func (x *Dialect) Shown(key, value string) string {
	known, _ := x.parameter(strings.ToLower(strings.TrimSpace(key)[len(prefix):]))
	if known == nil {
		return route.Masked
	}
	if known.shown != nil {
		return known.shown(value)
	}
	return value
}

// parameter is what a key in lower case, without its prefix, stands for, with the index behind
// it; nil for nothing.
func (x *Dialect) parameter(key string) (known *Parameter, index string) {
	if known = x.known[key]; known != nil {
		return known, "" // some have dots
	}
	word, index, dotted := strings.Cut(key, ".")
	if known = x.known[word]; known == nil || dotted && (index == "" || !known.Indexed) {
		return nil, ""
	}
	return known, index
}

func hidden(string) string { return route.Masked }

// shownHeaders shows a list of headers none of which may be a credential.
func shownHeaders(value string) string { return draft.ShownHeader(value, value) }

// shownUsers shows the names of a list of users. Nothing of a line is shown behind
// its first password: a comma may be part of it.
func shownUsers(value string) string {
	lines := strings.FieldsFunc(value, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		if names, _, colon := strings.Cut(line, ":"); colon {
			lines[i] = names + ":" + route.Masked
		}
	}
	return strings.Join(lines, "\n")
}
