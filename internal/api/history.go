package api

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// Entry is a line of the history: a table that went live, and why. Entries are
// sorted by number, the newest first.
type Entry struct {
	// Number only grows; numbers of entries that were too old are missing.
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	// Cause is why there is this table, in one sentence.
	Cause string `json:"cause"`
	// Operator is who gave Command, and Message why; left out when there was no operator.
	Operator string `json:"operator,omitempty"`
	Command  string `json:"command,omitempty"`
	Message  string `json:"message,omitempty"`
	// Seen is what the sources saw and what became of commands, the most telling
	// first; Omitted is how much more there was.
	Seen    []Seen `json:"seen"`
	Omitted int    `json:"omitted,omitempty"`
	// Revision and Hash are those of the table.
	Revision uint64 `json:"revision"`
	Hash     string `json:"hash"`
	// Live is true when the live table has the same contents.
	Live bool `json:"live"`
	// Routes and Backends say how much changed against the entry before.
	Routes   Counts `json:"routes"`
	Backends Counts `json:"backends"`
}

// Counts are numbers of elements that changed.
type Counts struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
}

// Seen is one thing that a source saw, from one snapshot to the next, or that
// became of a command.
type Seen struct {
	// Kind is "label", "default" (of the configuration), "service-added", "service-removed", "instance-added",
	// "instance-removed", "instance-state", "instance-address", "source",
	// "command" or "other".
	Kind   string `json:"kind"`
	Source string `json:"source,omitempty"`
	// Service is the ID of the service, Instance the name of the instance.
	Service  string `json:"service,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Label is the key of the label that changed.
	Label string `json:"label,omitempty"`
	// From and To are what was before and after; left out for nothing.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// HistoryInfo says how the history is doing.
type HistoryInfo struct {
	// Entries is how many there are, and Newest the number of the newest.
	Entries int    `json:"entries"`
	Newest  uint64 `json:"newest"`
	// Bytes is the size of its file.
	Bytes int64 `json:"bytes"`
	// Alarm says what is wrong with it, such as a full disk; left out when nothing
	// is. Since is when that was found.
	Alarm string    `json:"alarm,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Diff is what differs between two tables.
type Diff struct {
	// From and To are the numbers of entries; zero is the live table.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Same is true when both serve the same, byte by byte. Problems may differ
	// all the same.
	Same bool `json:"same"`
	// The lists are sorted by ID.
	Listeners []DiffChange `json:"listeners"`
	Routes    []DiffChange `json:"routes"`
	Backends  []DiffChange `json:"backends"`
	Problems  []DiffChange `json:"problems"`
}

// DiffChange is an element that differs.
type DiffChange struct {
	// Kind is "added", "removed" or "changed".
	Kind string `json:"kind"`
	// ID is the ID of the route or backend, the name of the listener or the text
	// of the problem.
	ID string `json:"id"`
	// Lines are those that came, behind "+ ", and that went, behind "- ".
	Lines []string `json:"lines"`
	// Fields say the same as data, in the order of the lines; left out for none.
	Fields []DiffField `json:"fields,omitempty"`
}

// DiffField is a property of an element that differs.
type DiffField struct {
	// Name is the property: "match", "filter", "backend", "endpoint". A property with several
	// values stands there once for each that differs.
	Name string `json:"name"`
	// From is what it was and To what it is; left out where it was, or is, not there.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// EntryDetail is an entry with what it changed.
type EntryDetail struct {
	Entry
	// Diff is against the entry before; From is zero, and everything is added,
	// when there is none.
	Diff Diff `json:"diff"`
}

// The kinds of command.
const (
	CommandRollback = "rollback" // the table of an entry is held
	CommandPin      = "pin"      // the table that was live is held
	CommandDrain    = "drain"    // endpoints get nothing new
	CommandWeight   = "weight"   // endpoints have another weight
	CommandPause    = "pause"    // requests for a service wait
	// CommandMaintenance answers requests for a service with 503
	CommandMaintenance = "maintenance"
)

// The ways in which a rollback or pin ends.
const (
	UntilUnpinned = "unpinned" // when an operator takes it back; "released" is read as the same
	UntilChanged  = "changed"  // for each service when its labels change
)

// The endpoints that a rollback or pin has.
const (
	EndpointsLive     = "live"     // those of today
	EndpointsRecorded = "recorded" // those of the entry whose container still has the address
)

// HoldID is the ID of the rollback or pin in force.
const HoldID = "hold"

// Command is what an operator asked for and what is in force. Commands are sorted
// in the order in which they take effect.
type Command struct {
	// ID is what takes it back; HoldID for a rollback or pin.
	ID string `json:"id"`
	// Kind is one of the Command constants.
	Kind string `json:"kind"`
	// Text says in words what is in force: "service shop@docker drained".
	Text string `json:"text"`
	// Undo is the command line that takes it back.
	Undo string `json:"undo"`
	// Service is the ID of the service it is about; Instance with Source, or
	// Node, stand in its place.
	Service  string `json:"service,omitempty"`
	Instance string `json:"instance,omitempty"`
	Source   string `json:"source,omitempty"`
	Node     string `json:"node,omitempty"`
	// Weight is that of CommandWeight.
	Weight *int `json:"weight,omitempty"`
	// Ends is when a pause or maintenance ends by itself, and Wait how long the requests of a
	// pause wait. Allow are the addresses and prefixes that get through maintenance.
	Ends  time.Time `json:"ends,omitzero"`
	Wait  string    `json:"wait,omitempty"`
	Allow []string  `json:"allow,omitempty"`
	// Entry, Until and Endpoints say what a rollback or pin holds.
	Entry     uint64 `json:"entry,omitempty"`
	Until     string `json:"until,omitempty"`
	Endpoints string `json:"endpoints,omitempty"`
	// Services are the IDs of those that are held with UntilChanged, sorted.
	Services []string `json:"services,omitempty"`
	// Operator is who gave it, Message why, and Since when.
	Operator string    `json:"operator"`
	Message  string    `json:"message,omitempty"`
	Since    time.Time `json:"since"`
}

// NewCommand asks for a command.
type NewCommand struct {
	// Kind is one of the Command constants.
	Kind string `json:"kind"`
	// Subject is what a drain, weight, pause or maintenance is about: the ID or name of a
	// service, or, for a drain or weight, of an instance or node. "service:",
	// "instance:" or "node:" in front says which is meant.
	Subject string `json:"subject,omitempty"`
	// Weight is for CommandWeight, 0 to 256.
	Weight *int `json:"weight,omitempty"`
	// For is how long a pause lasts, "1s" to "10m", "30s" for none, or maintenance, "1m" to
	// "720h", until it is taken back for none.
	For string `json:"for,omitempty"`
	// Allow are addresses and prefixes of clients that get through maintenance, at most 100.
	Allow []string `json:"allow,omitempty"`
	// Entry is the entry to roll back to.
	Entry uint64 `json:"entry,omitempty"`
	// Until is UntilUnpinned, which empty means, or UntilChanged.
	Until string `json:"until,omitempty"`
	// Endpoints is EndpointsLive, which empty means, or EndpointsRecorded.
	Endpoints string `json:"endpoints,omitempty"`
	// Message says why; at most 1000 bytes. That of maintenance is what visitors read.
	Message string `json:"message,omitempty"`
}

// CommandPreview is what a command would do. Nothing is changed by it.
type CommandPreview struct {
	Command Command `json:"command"`
	// Summary says in a line what would change.
	Summary string `json:"summary"`
	// Diff is what would change in what is live.
	Diff Diff `json:"diff"`
	// Unserved are the IDs of the services that ask for a route and would have none, sorted.
	Unserved []string `json:"unserved"`
	// Remarks say what one may not expect.
	Remarks []string `json:"remarks"`
}

// CommandResult is what became of a command.
type CommandResult struct {
	Command Command `json:"command"`
	// Text says in words what is in force now, or is in force no longer.
	Text string `json:"text"`
	// Entry is the number of the table that it made live; zero when it could not
	// be recorded; Remarks say which.
	Entry uint64 `json:"entry"`
	// Remarks say what one may not expect.
	Remarks []string `json:"remarks"`
}

// HistoryQuery narrows the history down.
type HistoryQuery struct {
	Before      uint64 // keeps entries with a lower number; zero keeps all
	Limit       int    // how many are wanted, at most 1000; zero means 50
	Service     string // keeps entries that have to do with this service, by ID or name
	Operator    string // keeps what the operator of this name did; "*" keeps what any did
	Routes      bool   // keeps entries that changed routes
	Significant bool   // leaves out entries that only followed instances or sources, but for the newest
	Words       string // keeps entries that have all of these words in what they say
}

// History lists entries.
func (c *Client) History(ctx context.Context, q HistoryQuery) (List[Entry], error) {
	return list[Entry](ctx, c, "/v1/history", url.Values{
		"before": given(q.Before), "limit": given(q.Limit), "service": text(q.Service),
		"operator": text(q.Operator), "routes": given(q.Routes), "significant": given(q.Significant), "q": text(q.Words),
	})
}

// Entry returns an entry with what it changed; an *Error with 404 for none.
func (c *Client) Entry(ctx context.Context, number uint64) (EntryDetail, error) {
	return get[EntryDetail](ctx, c, "/v1/history/"+strconv.FormatUint(number, 10), nil)
}

// Diff says what differs between two entries; zero is the live table.
func (c *Client) Diff(ctx context.Context, from, to uint64) (Diff, error) {
	v := url.Values{"from": {"live"}, "to": {"live"}}
	if from != 0 {
		v["from"] = given(from)
	}
	if to != 0 {
		v["to"] = given(to)
	}
	return get[Diff](ctx, c, "/v1/diff", v)
}

// Commands lists the commands in force.
func (c *Client) Commands(ctx context.Context) (List[Command], error) {
	return list[Command](ctx, c, "/v1/commands", nil)
}

// Preview says what a command would do, and changes nothing.
func (c *Client) Preview(ctx context.Context, n NewCommand) (CommandPreview, error) {
	return post[CommandPreview](ctx, c, "/v1/preview", n)
}

// Give puts a command in force.
func (c *Client) Give(ctx context.Context, n NewCommand) (CommandResult, error) {
	return post[CommandResult](ctx, c, "/v1/commands", n)
}

// TakeBack ends a command.
func (c *Client) TakeBack(ctx context.Context, id, message string) (CommandResult, error) {
	return remove[CommandResult](ctx, c, "/v1/commands/"+url.PathEscape(id), url.Values{"message": text(message)})
}
