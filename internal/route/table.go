package route

import (
	"net/netip"
	"slices"
	"time"

	"fairway/internal/route/tlsoption"
)

// Table is everything to be served. New makes it; never write to it afterwards.
type Table struct {
	// Revision is that of the snapshot, and no part of the hash. Zero is before any: while
	// there are no routes, engines answer 503 instead of 404.
	Revision uint64 `json:"revision"`
	// Hash is the hexadecimal SHA-256 of listeners, routes and backends, not problems.
	Hash string `json:"hash"`
	// Listeners are sorted by name, Routes and Backends by ID, Problems as Problem says.
	Listeners []Listener `json:"listeners"`
	Routes    []*Route   `json:"routes"`
	Backends  []*Backend `json:"backends"`
	Problems  []Problem  `json:"problems,omitempty"`
	Notices   []Problem  `json:"notices,omitempty"` // what is no fault (see Code.Notice), sorted likewise
}

// Listener is where requests and connections come in.
type Listener struct {
	// Name is unique: "http", "https".
	Name string `json:"name"`
	// Address is the host:port to bind; an empty host means all addresses.
	Address string `json:"address"`
	// TLS makes the listener terminate TLS with Certificates.
	TLS bool `json:"tls,omitempty"`
	// Certificates are chosen by server name; the first one is for clients without.
	Certificates []Certificate `json:"certificates,omitempty"`
	// TrustedProxies are the peers whose forwarded and PROXY protocol headers are trusted.
	TrustedProxies []netip.Prefix `json:"trustedProxies,omitempty"`
	// TCP makes the listener pass connections through (see SchemeTCP); it excludes TLS.
	// The host is the server name that a TLS client asks for (RFC 6066, 3), else empty.
	TCP bool `json:"tcp,omitempty"`
	// Optional listeners do not refuse the table when their address cannot be bound: it is tried again.
	Optional bool `json:"optional,omitempty"`
	// ProxyProtocol closes connections that do not begin with a PROXY protocol header, of
	// version 1 or 2, or are not from TrustedProxies.
	ProxyProtocol bool `json:"proxyProtocol,omitempty"`
	// ClientCAFile is a PEM file of authorities, reread when it changes. Clients whose
	// certificate none of them has issued are refused; those without one are let in (see
	// RequireClientCert).
	ClientCAFile string `json:"clientCAFile,omitempty"`
	// TLSOptions are for handshakes of all hosts, Hosts what some demand beside. All listeners
	// of a table that have Hosts have the same.
	TLSOptions tlsoption.Options `json:"tlsOptions,omitzero"`
	Hosts      []tlsoption.Host  `json:"hosts,omitempty"`
	// QUIC says where a listener with TLS serves HTTP/3 as well; the zero value: nowhere.
	QUIC QUIC `json:"quic,omitzero"`
}

// QUIC is where HTTP/3 is served.
type QUIC struct {
	// Address is the host:port to bind for UDP.
	Address string `json:"address,omitempty"`
	// Port is the one that clients get to know, where it is another one; zero is that of Address.
	Port int `json:"port,omitempty"`
}

// Certificate is a key pair in PEM files. The files are reread when they change.
type Certificate struct {
	// CertFile holds the leaf certificate first, then its chain.
	CertFile string `json:"certFile"`
	// KeyFile holds the private key; it may be the same file.
	KeyFile string `json:"keyFile"`
	// Host is the one name, with "*." for a wildcard, that it answers for, before all others;
	// empty: those in it. With a host it may be unreadable, and then it is left out.
	Host string `json:"host,omitempty"`
}

// Route says which requests it takes, what is changed on the way, and which backend answers.
type Route struct {
	// ID is unique in the table: the service's, with "/name" where the route has a name.
	ID string `json:"id"`
	// Service is the ID of the service that owns the route.
	Service string `json:"service"`
	// Matches are alternatives; never empty.
	Matches []Match `json:"matches"`
	// Priority goes before every other rule of precedence; higher wins.
	Priority int `json:"priority,omitempty"`
	// Claim is handed down from table to table: of routes equal otherwise the lower wins.
	Claim uint64 `json:"claim"`
	// Filters are applied in the order given.
	Filters []Filter `json:"filters,omitempty"`
	// Backend is an ID; empty when a filter answers every request (redirects) or the route is refused.
	Backend string `json:"backend,omitempty"`
	// Hold is how long a request waits for a ready endpoint, before it gets 503.
	Hold time.Duration `json:"hold,omitempty"`
	// Timeout bounds the wait for the response header; zero means the engine's default.
	Timeout time.Duration `json:"timeout,omitempty"`
	// BodyTimeout bounds the pauses in a request body; zero: the engine's, one minute.
	BodyTimeout time.Duration `json:"bodyTimeout,omitempty"`
	// Idle is how long an upgraded connection, or one of a TCP listener, may be silent;
	// zero means the engine's default, one hour.
	Idle time.Duration `json:"idle,omitempty"`
	// ErrorPages names the set of pages for errors; empty for the one for all.
	ErrorPages string `json:"errorPages,omitempty"`
	// TLS says where the certificates of the route's hosts come from: TLSAuto, TLSOff,
	// TLSInternal, or a PEM file with a certificate, its chain and its key.
	TLS string `json:"tls,omitempty"`
	// Certified are names, in canonical form, that are to have certificates where the route
	// takes them, beside those of its matches.
	Certified []string `json:"certified,omitempty"`
	// Refused, when set, says why the route may not be served. Every request it takes is
	// answered with 503, so that nothing wider serves them instead.
	Refused string `json:"refused,omitempty"`
	Origin  Origin `json:"origin"`

	seal *seal[Route] // set by New
}

// Where certificates come from, beside files.
const (
	TLSAuto     = ""         // by themselves where the operator has that, else those there are
	TLSOff      = "off"      // none is obtained
	TLSInternal = "internal" // from Fairway's own authority
)

// Origin is the provenance of a route: who asked for it, with which labels.
type Origin struct {
	// Source and Instance are names; there is no instance when the labels are the
	// service's own.
	Source   string `json:"source"`
	Instance string `json:"instance,omitempty"`
	// Labels made the route, as they were written, and make its last good form again.
	Labels map[string]string `json:"labels,omitempty"`
	// Defaults are labels that the configuration has for every route, and this one uses.
	Defaults map[string]string `json:"defaults,omitempty"`
	// Stale: the labels of today are refused, and this is the last good form.
	Stale bool `json:"stale,omitempty"`
}

// Match is one conjunction: host and path, by which routes are found, and conditions.
type Match struct {
	Host       Host        `json:"host"`
	Path       Path        `json:"path"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// HostKind is the way a Host matches.
type HostKind string

// The host kinds, most specific first.
const (
	HostExact    HostKind = "exact"    // the canonical name equals Value
	HostWildcard HostKind = "wildcard" // one label in front of Value: *.example.com has Value example.com
	HostDeep     HostKind = "deep"     // one or more labels in front of Value: **.example.com
	HostRegexp   HostKind = "regexp"   // Value is an RE2 expression on the whole canonical name
	HostAny      HostKind = "any"      // every host; Value is empty
)

// Host is the condition on the request's host in canonical form (see canonical.Host).
type Host struct {
	Kind  HostKind `json:"kind"`
	Value string   `json:"value,omitempty"`
}

// PathKind is the way a Path matches.
type PathKind string

// The path kinds.
const (
	PathPrefix PathKind = "prefix" // Value, or anything below it on a segment boundary; "/" is every path
	PathExact  PathKind = "exact"  // Value and nothing else
	PathRegexp PathKind = "regexp" // Value is an RE2 expression on the whole canonical path
	PathStart  PathKind = "start"  // the path begins with the bytes of Value, wherever its segments end
)

// Path is the condition on the request's path in canonical form (see canonical.Path). A
// prefix never ends in "/", except "/"; a start may.
type Path struct {
	Kind  PathKind `json:"kind"`
	Value string   `json:"value"`
}

// ConditionKind names the part of a request that a Condition looks at.
type ConditionKind string

// The condition kinds. Host and path come on top of the Match's own, or are negated.
const (
	ConditionMethod       ConditionKind = "method"
	ConditionHeader       ConditionKind = "header"        // equals one of Values; no Values: is present
	ConditionHeaderRegexp ConditionKind = "header-regexp" // RE2, unanchored
	ConditionQuery        ConditionKind = "query"         // equals one of Values; no Values: is present
	ConditionQueryRegexp  ConditionKind = "query-regexp"  // RE2, unanchored
	ConditionClientIP     ConditionKind = "client-ip"     // in one of the prefixes
	ConditionHost         ConditionKind = "host"          // one of Values, wildcards as in labels
	ConditionHostRegexp   ConditionKind = "host-regexp"
	ConditionPath         ConditionKind = "path"        // exact
	ConditionPathPrefix   ConditionKind = "path-prefix" // on segment boundaries
	ConditionPathRegexp   ConditionKind = "path-regexp"
	ConditionPathStart    ConditionKind = "path-start" // begins with these bytes
	ConditionListener     ConditionKind = "listener"   // came in by a listener of one of these names
)

// Condition is one further demand on a request.
type Condition struct {
	Kind ConditionKind `json:"kind"`
	// Name is that of the header, canonical, or of the query parameter.
	Name string `json:"name,omitempty"`
	// Values are alternatives; one is enough. Sorted.
	Values []string `json:"values,omitempty"`
	// Not turns the condition round.
	Not bool `json:"not,omitempty"`
}

// Filter is one change on the way, or one check: exactly one field is set. Filters are
// applied in the order of the fields, so that no change passes by a check.
type Filter struct {
	Maintenance       *Maintenance       `json:"maintenance,omitempty"`
	IPAllow           *IPAllow           `json:"ipAllow,omitempty"`
	Methods           *Methods           `json:"methods,omitempty"`
	RequireTLS        *RequireTLS        `json:"requireTLS,omitempty"`
	RequireClientCert *RequireClientCert `json:"requireClientCert,omitempty"`
	RateLimit         *RateLimit         `json:"rateLimit,omitempty"`
	MaxBody           *MaxBody           `json:"maxBody,omitempty"`
	RedirectHTTPS     *RedirectHTTPS     `json:"redirectHTTPS,omitempty"`
	Redirect          *Redirect          `json:"redirect,omitempty"`
	BasicAuth         *BasicAuth         `json:"basicAuth,omitempty"`
	StripPrefix       *StripPrefix       `json:"stripPrefix,omitempty"`
	AddPrefix         *AddPrefix         `json:"addPrefix,omitempty"`
	RewritePath       *RewritePath       `json:"rewritePath,omitempty"`
	RequestHeaders    *HeaderOperation   `json:"requestHeaders,omitempty"`
	ResponseHeaders   *HeaderOperation   `json:"responseHeaders,omitempty"`
	Compress          *Compress          `json:"compress,omitempty"`
	Snippet           *Snippet           `json:"snippet,omitempty"`
}

// Maintenance answers 503 to clients outside Allow, with Message. No label asks for it, but a command.
type Maintenance struct {
	// Allow are prefixes of clients that get through.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Message is for visitors, one line without control characters.
	Message string `json:"message"`
	// Until is when it is to be over; zero for not known.
	Until time.Time `json:"until,omitzero"`
	// By says who asked for it, for operators.
	By string `json:"by"`
}

// Maintenance is that of the route's service; nil for none.
func (r *Route) Maintenance() *Maintenance {
	if len(r.Filters) == 0 {
		return nil
	}
	return r.Filters[0].Maintenance
}

// RetryAfter is the value of the header of that name.
func (m *Maintenance) RetryAfter() string {
	if m.Until.IsZero() {
		return "120"
	}
	return m.Until.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
}

// IPAllow refuses clients outside Prefixes with 403; IPv4-mapped ones count as IPv4.
type IPAllow struct {
	Prefixes []netip.Prefix `json:"prefixes"`
}

// Methods refuses requests with 403 by their method: those outside Allow, unless
// it is empty, and those in Deny. Both are sorted.
type Methods struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// RequireTLS refuses clients that did not come by TLS with 403 (see Request.TLS).
type RequireTLS struct{}

// RequireClientCert refuses requests with 403 that came over a connection without
// a client certificate. On a listener without ClientCAFile that is all of them.
type RequireClientCert struct{}

// RateLimit answers 429 with Retry-After to an address (of IPv6 a /64) that asks more
// often than Requests in Per, after a burst of Burst.
type RateLimit struct {
	Requests int           `json:"requests"`
	Per      time.Duration `json:"per"`
	Burst    int           `json:"burst"`
}

// MaxBody answers 413 to a request body above Bytes.
type MaxBody struct {
	Bytes int64 `json:"bytes"`
}

// RedirectHTTPS sends requests that came without TLS to the same URL with https.
type RedirectHTTPS struct {
	// Port is that of the new URL; zero for none.
	Port uint16 `json:"port,omitempty"`
	// Status is one of 301, 302, 303, 307 and 308; zero means 301 for GET and HEAD and
	// 308 for everything else.
	Status int `json:"status,omitempty"`
	// Forwarded says which requests came without TLS.
	Forwarded ForwardedProto `json:"forwarded,omitempty"`
	// Obtained: no label asks for it, but Fairway has obtained certificates for all hosts.
	Obtained bool `json:"obtained,omitempty"`
}

// ForwardedProto says what RedirectHTTPS makes of X-Forwarded-Proto. Of peers that are
// not among the listener's TrustedProxies the connection counts in its place.
type ForwardedProto string

// The ways to look at X-Forwarded-Proto.
const (
	ForwardedNone        ForwardedProto = ""             // goes by Request.TLS
	ForwardedWhenHTTP    ForwardedProto = "when-http"    // redirects only when the header is "http"
	ForwardedUnlessHTTPS ForwardedProto = "unless-https" // redirects unless the header is "https"
)

// Redirect answers every request with Status and a Location made of Scheme and
// Host (empty: the request's own) and the request's path, or Path when set. The
// query is kept.
type Redirect struct {
	Status int    `json:"status"`
	Scheme string `json:"scheme,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
}

// BasicAuth asks for a user and password (RFC 7617) of Users or of File. With
// neither, no request passes.
type BasicAuth struct {
	// File is in htpasswd form, one "name:hash" a line (see User.Hash), and reread when it
	// changes; while it cannot be read, every request is answered with 503. Engines open
	// it only below directories that the operator names.
	File string `json:"file,omitempty"`
	// Clear says that File may hold passwords in clear text, and commas between users, as
	// the secrets of Docker Flow do.
	Clear bool   `json:"clear,omitempty"`
	Realm string `json:"realm"`
	// Users come before those of File with the same name.
	Users []User `json:"users,omitempty"`
	// Strip takes the Authorization header off before the request is forwarded.
	Strip bool `json:"strip,omitempty"`
}

// User is a name with the hash of a password.
type User struct {
	Name string `json:"name"`
	// Hash has one of the forms of userhash; with another one no password is right.
	Hash string `json:"hash"`
}

// StripPrefix takes Prefix off the path on a segment boundary and sends it in
// X-Forwarded-Prefix. A path without the prefix is left alone.
type StripPrefix struct {
	Prefix string `json:"prefix"`
}

// AddPrefix puts Prefix in front of the path, after StripPrefix.
type AddPrefix struct {
	Prefix string `json:"prefix"`
}

// RewritePath replaces the first match of Search, an RE2 expression, in the path as
// the filters before have left it. In Replace, "\0" to "\9" stand for what the whole
// expression and its groups have matched, and "\\" for a backslash. The canonical form
// of the result is sent; where canonical.ReadPath refuses it the answer is 400.
type RewritePath struct {
	Search  string `json:"search"`
	Replace string `json:"replace"`
}

// HeaderOperation changes headers: Remove first, then Set, then Add. Names are
// canonical, lists are sorted by name.
type HeaderOperation struct {
	// OverTLS leaves alone what goes to clients that did not come by TLS (see Request.TLS); it
	// is for responses.
	OverTLS bool          `json:"overTLS,omitempty"`
	Remove  []string      `json:"remove,omitempty"`
	Set     []HeaderValue `json:"set,omitempty"`
	Add     []HeaderValue `json:"add,omitempty"`
}

// HeaderValue is one header.
type HeaderValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Compress answers with gzip where the client and the content type allow it.
type Compress struct{}

// Snippet is text of HAProxy's own configuration at the end of the route's section. No
// other engine serves a route that has one.
type Snippet struct {
	// Lines have no line breaks and are not empty.
	Lines []string `json:"lines"`
}

// Scheme is how a backend is spoken to.
type Scheme string

// The schemes.
const (
	SchemeHTTP  Scheme = "http"  // HTTP/1.1
	SchemeHTTPS Scheme = "https" // TLS, HTTP/2 or HTTP/1.1 by ALPN
	SchemeH2C   Scheme = "h2c"   // HTTP/2 without TLS
	// SchemeTCP passes connections through. Backend and route go together: every
	// Match of such a route has the path prefix "/" and a ConditionListener that
	// names TCP listeners only; its host is compared with the server name of TLS
	// clients; its filters are IPAllow.
	SchemeTCP Scheme = "tcp"
)

// Backend is a named set of endpoints with a balance policy.
type Backend struct {
	// ID is unique in the table: the ID of the first route that uses it.
	ID      string  `json:"id"`
	Service string  `json:"service"` // the ID of the service whose instances it holds
	Scheme  Scheme  `json:"scheme"`
	TLS     *TLS    `json:"tls,omitempty"`
	Balance Balance `json:"balance"`
	// Sticky is the name of the cookie that ties a client to an endpoint; may be empty.
	Sticky string `json:"sticky,omitempty"`
	// StickyDomain is the cookie's Domain (RFC 6265, 5.2.3); empty: the host alone.
	StickyDomain string `json:"stickyDomain,omitempty"`
	// StickySameSite is the cookie's SameSite; see Over.
	StickySameSite SameSite `json:"stickySameSite,omitempty"`
	// Upgrade are the protocols, beside WebSocket, that endpoints may switch to (RFC 9110,
	// 7.8): lower case, sorted. With SchemeHTTPS the backend is then spoken to by HTTP/1.1.
	Upgrade []string `json:"upgrade,omitempty"`
	// Health is the active check; nil for none.
	Health *Health `json:"health,omitempty"`
	// SlowStart is how long a new endpoint's share grows to its full weight.
	SlowStart time.Duration `json:"slowStart,omitempty"`
	// MaxFails failures in a row take an endpoint out for a while; zero means never.
	MaxFails int `json:"maxFails,omitempty"`
	// SendProxy is the version, 1 or 2, of the PROXY protocol header in front of a
	// connection that is passed through; zero for none.
	SendProxy int `json:"sendProxy,omitempty"`
	// Endpoints is sorted by ID. It may be empty or hold nothing ready.
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	seal *seal[Backend] // set by New
}

// TLS says how an https backend is verified.
type TLS struct {
	// ServerName is asked for and verified; empty means the request's host.
	ServerName string `json:"serverName,omitempty"`
	SkipVerify bool   `json:"skipVerify,omitempty"` // any certificate is taken
}

// BalancePolicy is how an endpoint is picked.
type BalancePolicy string

// The balance policies. All of them respect weights.
const (
	BalanceRoundRobin BalancePolicy = "round-robin"
	BalanceLeastConn  BalancePolicy = "least-conn"
	BalanceRandom2    BalancePolicy = "random2" // the less busy of two picked at random
	BalanceHash       BalancePolicy = "hash"    // by HashOn, moving as few clients as possible when endpoints change
)

// HashOn names what BalanceHash looks at.
type HashOn string

// The hash keys. A request without the key falls back to the client address.
const (
	HashClientIP HashOn = "client-ip"
	HashPath     HashOn = "path"
	HashHeader   HashOn = "header"
	HashCookie   HashOn = "cookie"
	HashQuery    HashOn = "query"
)

// Balance is a balance policy with its arguments.
type Balance struct {
	Policy BalancePolicy `json:"policy"`
	// On and Name are set for BalanceHash only.
	On   HashOn `json:"on,omitempty"`
	Name string `json:"name,omitempty"`
}

// SameSite says on which requests from other sites a cookie is sent.
type SameSite string

// The values of SameSite; empty means SameSiteLax.
const (
	SameSiteLax    SameSite = "lax"
	SameSiteStrict SameSite = "strict"
	SameSiteNone   SameSite = "none"
)

// Over is the attribute's value in a cookie that is set over TLS or not: browsers accept
// SameSiteNone over TLS alone.
func (s SameSite) Over(tls bool) SameSite {
	if s == "" || s == SameSiteNone && !tls {
		return SameSiteLax
	}
	return s
}

// Health is an active check of every endpoint: a request by HTTP, or, with SchemeTCP,
// a connection that is closed again, which uses neither Path, Host, Headers nor Status.
type Health struct {
	Path string `json:"path"`
	// Host is a canonical name; empty means the endpoint's own address.
	Host string `json:"host,omitempty"`
	// Port is that of the check; zero means that of requests.
	Port uint16 `json:"port,omitempty"`
	// Headers are sent with the check; sorted by name. They may hold credentials.
	Headers  []HeaderValue `json:"headers,omitempty"`
	Interval time.Duration `json:"interval"`
	Timeout  time.Duration `json:"timeout"`
	// Status passes; zero means any 2xx or 3xx. Redirects are not followed.
	Status int `json:"status,omitempty"`
}

// EndpointState says what may be sent to an endpoint.
type EndpointState string

// The endpoint states.
const (
	EndpointReady    EndpointState = "ready"    // takes requests
	EndpointDraining EndpointState = "draining" // finishes what it has; sticky clients leave it too
	EndpointWaiting  EndpointState = "waiting"  // may not be used yet or any more: starting, unhealthy, paused
)

// Endpoint is one address of a backend.
type Endpoint struct {
	// ID is unique in the backend and stable while the instance lives.
	ID string `json:"id"`
	// Address is host:port as it is dialled.
	Address string `json:"address"`
	// Weight is the share, 0 to 256; 0 takes nothing new but sticky clients. Default: 1.
	Weight int           `json:"weight"`
	State  EndpointState `json:"state"`
	// Instance and Source are names, Node the ID of the node it runs on, where known.
	Instance string `json:"instance"`
	Source   string `json:"source,omitempty"`
	Node     string `json:"node,omitempty"`
	// Reason says why this address of the instance was chosen.
	Reason string `json:"reason,omitempty"`
	// By is the operator's command that State or Weight come from, with who and why.
	By string `json:"by,omitempty"`
}

// Problem is a refused label or route, with its origin and what to do about it.
// Problems are sorted by Service, Instance, Route, Label, Code, Text.
type Problem struct {
	Code Code `json:"code"`
	// Source and Instance are names, Service is an ID; no Instance where the label is the
	// service's own.
	Source   string `json:"source"`
	Service  string `json:"service"`
	Instance string `json:"instance,omitempty"`
	// Route is the ID of the route that suffers, Label the key as it was written; either
	// may be empty.
	Route string `json:"route,omitempty"`
	Label string `json:"label,omitempty"`
	// Text is the reason in one sentence, Hint, if any, what to do.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// Code classifies a problem.
type Code string

// The problem codes. A code once released keeps its meaning.
const (
	CodeUnknownLabel Code = "unknown-label" // no such key
	CodeBadValue     Code = "bad-value"     // the value does not parse or is out of range
	CodeBadRule      Code = "bad-rule"      // the rule does not parse, or is too large
	CodeIncomplete   Code = "incomplete"    // something needed is missing
	CodeContradicts  Code = "contradicts"   // two labels exclude each other
	CodeConflict     Code = "conflict"      // another owner already has this match
	CodeNoPort       Code = "no-port"       // which port is not clear
	CodeNoAddress    Code = "no-address"    // Fairway cannot reach the instance
	CodeNameTaken    Code = "name-taken"    // another owner already has this name of a service
	CodeDiffer       Code = "differ"        // instances of one service disagree
	CodeNotAllowed   Code = "not-allowed"   // owners of the configuration do not let this owner claim it
	CodeUnsupported  Code = "unsupported"   // understood, but not possible here
	CodeUserFile     Code = "user-file"     // the file of users cannot be read: requests get 503
	CodeLockedUsers  Code = "locked-users"  // lines of the file of users have no password that is right
	CodeApproximated Code = "approximated"  // served, but not to the letter
	CodeIgnored      Code = "ignored"       // has no effect here, and none on what is protected
	CodeNotRead      Code = "not-read"      // labels of a dialect that is off, or in a place that does not count
	CodeUnused       Code = "unused"        // defined, and no route names it
)

// Notice says whether the code is of what should be known and is no fault.
func (c Code) Notice() bool {
	return slices.Contains([]Code{CodeApproximated, CodeIgnored, CodeNotRead, CodeUnused}, c)
}
