// Package api holds the wire types of the admin API and a typed client for it.
//
// The types are plain structs, apart from those that Fairway works with, so that
// what is released here can stay while the inside changes. Rules that hold for
// all of them: times are RFC 3339, durations are Go's own text ("1.5s"), lists
// are arrays and never null, every list is sorted and says by what, and a field
// that has nothing to say is left out. Nothing here holds a secret: values of
// request headers that a route sets, and of conditions on headers and query
// parameters that are named like a credential, are written as Masked.
package api

import (
	_ "embed"
	"time"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of the admin API, as JSON. A test of package
// admin makes it from the operations, their wire types and docs/api.md.
func OpenAPI() []byte { return openAPI }

// Masked stands for a value that is not shown.
const Masked = "***"

// List is the answer to every question for several things. Revision and Hash
// belong to the table the answer was made from and stand here alone, so that an
// item is the same bytes as long as the thing it describes is the same.
type List[T any] struct {
	// Revision is the number of the newest snapshot; zero before the first one.
	Revision uint64 `json:"revision"`
	// Hash identifies the contents of the live table; empty before the first.
	Hash string `json:"hash"`
	// Incomplete is why things may be missing or old: a source does not answer, the newest
	// table is not live, a rollback or pin is in force; left out when nothing is so.
	Incomplete []Reason `json:"incomplete,omitempty"`
	// Items is sorted; never null.
	Items []T `json:"items"`
}

// Query narrows a list down. Empty fields narrow nothing. A field that the list
// does not know (see each method of Client) is refused with status 400.
type Query struct {
	Service       string // the ID or the name of a service
	Source        string // the name of a source
	Host          string // keeps the routes that could take a request for this host
	State         string // keeps the routes in one of these states of a condition: "degraded,down"
	Live, Notices bool   // asks for Endpoint.Live as well; for notices in the place of problems
}

// Route is one route of the live table. Routes are sorted by ID.
type Route struct {
	ID string `json:"id"`
	// Service is the ID of the service that owns the route.
	Service string `json:"service"`
	// Source is the name of the source that sees the service.
	Source string `json:"source"`
	// Instance is the name of the instance whose labels made the route; left
	// out when they are the service's own.
	Instance string `json:"instance,omitempty"`
	// Labels are the labels that made the route, as they were written.
	Labels map[string]string `json:"labels"`
	// Defaults are labels that the configuration has for every route and this one uses,
	// in the place of its own; left out for none.
	Defaults map[string]string `json:"defaults,omitempty"`
	// Priority goes before every other rule of precedence; higher wins.
	Priority int `json:"priority"`
	// Matches are alternatives; never empty.
	Matches []Match `json:"matches"`
	// Filters are the changes and checks on the way, in order, as text.
	Filters []string `json:"filters"`
	// Backend says how the endpoints are spoken to; left out when the route
	// answers by itself or is refused.
	Backend *Backend `json:"backend,omitempty"`
	// Endpoints is sorted by ID.
	Endpoints []Endpoint `json:"endpoints"`
	// Hold is how long a request waits for a ready endpoint; left out for none.
	Hold string `json:"hold,omitempty"`
	// Timeout bounds the wait for the response header; left out for the
	// engine's default.
	Timeout string `json:"timeout,omitempty"`
	// Refused is the reason why every request for the route is answered with
	// 503; left out when the route is served.
	Refused string `json:"refused,omitempty"`
	// LastGood is true when the labels of today are refused and the route is
	// the last good form of itself. Problems say why.
	LastGood bool `json:"lastGood,omitempty"`
	// Stale is set while the source of the route does not answer.
	Stale *Stale `json:"stale,omitempty"`
	// Condition says how it is doing, and Ready how many of its endpoints take requests
	// and were seen to accept a connection.
	Condition Condition `json:"condition"`
	Ready     int       `json:"ready"`
	// LastRequest is when its last request or connection was over; left out when none is
	// known. From before this run of Fairway it is known to two minutes within 22 hours, and to
	// half an hour within 30 days.
	LastRequest time.Time `json:"lastRequest,omitzero"`
}

// Match is one way for a request to be taken by a route: all of it must hold.
type Match struct {
	// Text is the whole match for people: "host a.example, path /x, method GET".
	Text string `json:"text"`
	// Host is the name to match, with "*." or "**." in front for wildcards and
	// "*" for every host; an RE2 expression for HostKind "regexp".
	Host string `json:"host"`
	// HostKind is "exact", "wildcard", "deep", "regexp" or "any".
	HostKind string `json:"hostKind"`
	Path     string `json:"path"`
	// PathKind is "prefix", "exact" or "regexp".
	PathKind string `json:"pathKind"`
	// Conditions are what must hold besides, as text, in the table's order.
	Conditions []string `json:"conditions"`
}

// Backend is how the endpoints of a route are spoken to and picked.
type Backend struct {
	ID string `json:"id"`
	// Scheme is "http", "https" or "h2c".
	Scheme string `json:"scheme"`
	// Balance is the policy, with what it looks at: "round-robin", "hash:path",
	// "hash:header:X-User".
	Balance string `json:"balance"`
	// Sticky is the name of the cookie that ties a client to an endpoint.
	Sticky string `json:"sticky,omitempty"`
	// Health is the active check as text; left out for none.
	Health string `json:"health,omitempty"`
}

// Endpoint is one address of a backend.
type Endpoint struct {
	ID string `json:"id"`
	// Address is host:port as it is dialled.
	Address string `json:"address"`
	// Weight is the share relative to the others, 0 to 256.
	Weight int `json:"weight"`
	// State is "ready", "draining" or "waiting".
	State string `json:"state"`
	// Instance is the name of the instance behind the address.
	Instance string `json:"instance"`
	// Source is the name of the source that sees the instance.
	Source string `json:"source,omitempty"`
	// Node is the ID of the node it runs on; left out when unknown.
	Node string `json:"node,omitempty"`
	// Reason says why this address of the instance was chosen.
	Reason string `json:"reason,omitempty"`
	// By is the command of an operator that State or Weight come from, with who
	// gave it and why; left out when they are what the source says.
	By string `json:"by,omitempty"`
	// Fault is why it takes no requests at the moment, in words; left out when it does.
	// FaultCode classifies it, and keeps its meaning: one of the codes of reasons.
	Fault     string `json:"fault,omitempty"`
	FaultCode string `json:"faultCode,omitempty"`
	// Live is what the engine knows of it at this moment; only on demand
	// (Query.Live), since it changes without the table changing.
	Live *EndpointLive `json:"live,omitempty"`
}

// EndpointLive is what an engine knows of an endpoint at this moment.
type EndpointLive struct {
	// InRotation is false while it is not picked although it is ready by the
	// table: its active checks have not passed.
	InRotation bool `json:"inRotation"`
	// InFlight is the number of requests it is busy with.
	InFlight int `json:"inFlight"`
	// Ejected is true while it is out because requests to it failed.
	Ejected bool `json:"ejected"`
	// Health is how the last active check went: "passing" or "failing"; left out
	// when none was made.
	Health string `json:"health,omitempty"`
}

// Stale says that a source does not answer and what it said before is kept.
type Stale struct {
	// Since is when the source last answered; left out when it never has.
	Since time.Time `json:"since,omitzero"`
	// Error is why it does not answer; left out while it has not been asked.
	Error string `json:"error,omitempty"`
}

// Service is a named thing that exists. Services are sorted by ID.
type Service struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Source is the name of the source that sees it.
	Source string `json:"source"`
	// Project is the Compose project or the stack that it belongs to; left out for none.
	Project string `json:"project,omitempty"`
	// Labels are the service's own labels that begin with "fairway.". Others
	// belong to other programs and are not shown.
	Labels map[string]string `json:"labels"`
	// Labelled is true when it or one of its instances has a label of Fairway or Docker
	// Flow. Lists for people leave out what is not and has no route.
	Labelled bool `json:"labelled"`
	// Instances is sorted by ID.
	Instances []Instance `json:"instances"`
	// Routes are the IDs of its routes in the live table, sorted.
	Routes []string `json:"routes"`
	// Problems is the number of problems it has.
	Problems int `json:"problems"`
	// Created is when it was created; left out when unknown.
	Created time.Time `json:"created,omitzero"`
	// Stale is set while its source does not answer.
	Stale *Stale `json:"stale,omitempty"`
	// Condition says how it is doing: as the worst of its routes and instances.
	Condition Condition `json:"condition"`
}

// Asks is true for a service that asks for something: it is labelled or has a route.
func (s Service) Asks() bool { return s.Labelled || len(s.Routes) > 0 }

// Instance is one copy of a service.
type Instance struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Source string `json:"source"`
	// Node is the ID of the node it runs on, and NodeName the machine's name.
	Node     string `json:"node,omitempty"`
	NodeName string `json:"nodeName,omitempty"`
	Image    string `json:"image,omitempty"`
	// Labels are the instance's labels that begin with "fairway.".
	Labels map[string]string `json:"labels"`
	// State is "starting", "ready", "unhealthy", "paused", "leaving" or
	// "stopped".
	State string `json:"state"`
	// StateReason explains State where State does not say it all.
	StateReason string    `json:"stateReason,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Started     time.Time `json:"started,omitzero"`
	// Restarts is how often its restart policy has started it again; left out for never.
	Restarts int `json:"restarts,omitempty"`
	// Weight is the share that the source gives it; left out when it gives none.
	Weight int `json:"weight,omitempty"`
	// By is the command of an operator that its endpoints obey, with who gave it
	// and why; left out for none.
	By string `json:"by,omitempty"`
	// Addresses is sorted by network, then host.
	Addresses []Address `json:"addresses"`
	// Ports is sorted by number, then protocol.
	Ports []Port `json:"ports"`
}

// Address is one way to reach an instance.
type Address struct {
	Host string `json:"host"`
	// Port is set where the source fixes it.
	Port    uint16 `json:"port,omitempty"`
	Network string `json:"network,omitempty"`
	// Reach is "fixed", "shared", "bridge" or "none".
	Reach string `json:"reach"`
}

// Port is a port that an instance exposes or publishes.
type Port struct {
	Number   uint16 `json:"number"`
	Protocol string `json:"protocol"`
	// Published is the host:port it is published on.
	Published string `json:"published,omitempty"`
}

// Problem is a refused label or route. Problems are sorted by Service, Instance,
// Route, Label, Code, Text.
type Problem struct {
	// Code is stable; docs/api.md lists them. More may be added.
	Code     string `json:"code"`
	Source   string `json:"source"`
	Service  string `json:"service"`
	Instance string `json:"instance,omitempty"`
	Route    string `json:"route,omitempty"`
	Label    string `json:"label,omitempty"`
	// Text is the reason in one sentence.
	Text string `json:"text"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Where is the Compose project with its files, or the stack, that the labels belong to, and
	// Since when it was first observed; only in lists, and left out where they are not known.
	Where string    `json:"where,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// The states of a source.
const (
	SourceCurrent       = "current"        // it has answered, and its newest answer was good
	SourceStale         = "stale"          // it answers with an error; what it said before is kept
	SourceNeverAnswered = "never-answered" // it has not answered in this run
)

// Source says how one source is doing. Sources are sorted by name.
type Source struct {
	Name string `json:"name"`
	// State is SourceCurrent, SourceStale or SourceNeverAnswered.
	State string `json:"state"`
	Error string `json:"error,omitempty"`
	// LastSuccess is when it last answered well; left out when it never has.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// Age is how long ago that was when the answer was made.
	Age string `json:"age,omitempty"`
	// Services is how many of its services are in the snapshot.
	Services int `json:"services"`
	// Held are the services that its newest answer no longer had and that are
	// kept until another answer confirms it. Sorted.
	Held []string `json:"held"`
	// Condition says how it is doing, and what to do.
	Condition Condition `json:"condition"`
}

// NodeNotWatched is the state of a node that a services file names and no source sees.
const NodeNotWatched = "not watched"

// Node is a machine that runs instances. Nodes are sorted by ID.
type Node struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Source  string `json:"source"`
	State   string `json:"state"`
	Address string `json:"address,omitempty"`
	Role    string `json:"role,omitempty"`
	// Availability is active, pause or drain in a Swarm; left out elsewhere.
	Availability string `json:"availability,omitempty"`
	// Engine is the version of its container engine.
	Engine string `json:"engine,omitempty"`
	// Instances is how many instances are on it, in any state.
	Instances int `json:"instances"`
}

// The states of the table.
const (
	StateStarting = "starting" // nothing is served yet
	StateRestored = "restored" // the last run's table is served; no source has answered
	StatePartial  = "partial"  // some sources have answered
	StateSynced   = "synced"   // every source has answered
	StateDraining = "draining" // Fairway ends: what runs may finish, nothing new is accepted
)

// Table is the condition of the live table.
type Table struct {
	// Revision is the snapshot it was compiled from; zero before the first.
	Revision uint64 `json:"revision"`
	// Hash identifies its contents; empty before the first.
	Hash string `json:"hash"`
	// State is one of the State constants.
	State string `json:"state"`
	// Since is when State was entered.
	Since time.Time `json:"since,omitzero"`
	// Applied is when a table last went live.
	Applied time.Time `json:"applied,omitzero"`
	// Pending is the reason why the newest table is not live yet.
	Pending  string `json:"pending,omitempty"`
	Routes   int    `json:"routes"`
	Backends int    `json:"backends"`
	Problems int    `json:"problems"`
}

// Info says what is running.
type Info struct {
	// Version is Fairway's version.
	Version string `json:"version"`
	// Engine is the name of the engine that serves.
	Engine string `json:"engine"`
	// Started is when this run began.
	Started time.Time `json:"started"`
	Table   Table     `json:"table"`
	// Listeners is sorted by name.
	Listeners []Listener `json:"listeners"`
	// History is how the history is doing; left out where there is none.
	History *HistoryInfo `json:"history,omitempty"`
}

// Listener is where requests and connections come in.
type Listener struct {
	Name string `json:"name"`
	// Address is the host:port as configured.
	Address string `json:"address"`
	TLS     bool   `json:"tls"`
	// TCP is true when connections are passed through without being decoded.
	TCP bool `json:"tcp,omitempty"`
}

// Health is the answer of a process that is alive.
type Health struct {
	// Status is "ok".
	Status string `json:"status"`
}

// Readiness is the answer to whether requests are served.
type Readiness struct {
	// State is one of the State constants.
	State string `json:"state"`
}

// Ready is true as soon as any table is served, also a restored one, until Fairway
// begins to end.
func (r Readiness) Ready() bool {
	return r.State != StateStarting && r.State != StateDraining && r.State != ""
}

// Diagnosis says, for one service or one instance, whether it is served and if
// not, why. Diagnoses are sorted by Service, then Instance.
type Diagnosis struct {
	// Service is the ID of the service.
	Service string `json:"service"`
	// Instance is the name of the instance; left out when the diagnosis is
	// about the service as a whole.
	Instance string `json:"instance,omitempty"`
	Source   string `json:"source"`
	// Served is true when requests reach it.
	Served bool `json:"served"`
	// Checks are in the order in which Fairway decides.
	Checks []Check `json:"checks"`
}

// The outcomes of a check.
const (
	CheckOK     = "ok"
	CheckDoubt  = "doubt"  // it is served, but not as one would expect
	CheckFailed = "failed" // it is not served because of this
)

// Check is one step of a diagnosis.
type Check struct {
	// Name is a short word: "labels", "state", "port", "address", "route".
	Name string `json:"name"`
	// Outcome is CheckOK, CheckDoubt or CheckFailed.
	Outcome string `json:"outcome"`
	// Text says what was found, in one sentence.
	Text string `json:"text"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
}
