package api

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// FleetDocument is a named HAProxy configuration. Documents are sorted by name.
type FleetDocument struct {
	Name string `json:"name"`
	// Newest is the number of the newest revision and Released that of the one
	// that is out; zero for none.
	Newest   uint64 `json:"newest"`
	Released uint64 `json:"released"`
	// Author, Time, Message and Digest are those of the newest revision.
	Author  string    `json:"author,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	Message string    `json:"message,omitempty"`
	Digest  string    `json:"digest,omitempty"`
	// Template is true when {{names}} in it are replaced by values of the host.
	Template bool `json:"template,omitempty"`
	// Hosts are the hosts that have it, in the order of rollouts.
	Hosts []string `json:"hosts"`
	// Rollout is the newest rollout; left out when there is none.
	Rollout *FleetRollout `json:"rollout,omitempty"`
}

// FleetRevision is one state of a document, which never changes again. Revisions
// are sorted by number, the newest first.
type FleetRevision struct {
	Document string    `json:"document"`
	Number   uint64    `json:"number"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`
	Message  string    `json:"message,omitempty"`
	// Digest is the SHA-256 of the content, hexadecimal, and Size its length.
	Digest string `json:"digest"`
	Size   int    `json:"size"`
	// Released is true for the revision that is out.
	Released bool `json:"released,omitempty"`
	// Content is the text, byte by byte; base64 in JSON. Lists leave it out.
	Content []byte `json:"content,omitempty"`
}

// NewFleetRevision asks for a revision.
type NewFleetRevision struct {
	// Expect is the newest revision as the author knows it, zero for none. When
	// there is a newer one, the answer is 409.
	Expect  uint64 `json:"expect"`
	Message string `json:"message,omitempty"`
	Content []byte `json:"content"`
}

// FleetDiff is the difference between two revisions.
type FleetDiff struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Diff is a unified diff; empty when they are the same.
	Diff string `json:"diff"`
}

// NewFleetCheck asks HAProxy on hosts what it thinks of a configuration.
type NewFleetCheck struct {
	// Content is the configuration; without it, Revision says which revision, zero
	// for the newest.
	Content  []byte `json:"content,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
	// Hosts are those to ask; none for all that have the document.
	Hosts []string `json:"hosts,omitempty"`
}

// FleetCheck is the answer of one host. They are in the order of rollouts.
type FleetCheck struct {
	Host string `json:"host"`
	// OK is true when HAProxy takes it. Error says why not, in HAProxy's words, or
	// why it could not be asked, which Asked is false for.
	OK    bool   `json:"ok"`
	Asked bool   `json:"asked"`
	Error string `json:"error,omitempty"`
}

// The conditions of a host in a fleet.
const (
	FleetCurrent     = "current"     // it has the revision that is out
	FleetOther       = "other"       // it has another revision
	FleetEdited      = "edited"      // it was edited by hand, or it runs something else than its file
	FleetPending     = "pending"     // a revision is pending: the host gets it when it can be reached
	FleetUnreachable = "unreachable" // the newest look at it has failed
	FleetUnseen      = "unseen"      // it has not been looked at yet, or nothing is out yet
	FleetChanging    = "changing"    // a rollout is working on it
)

// FleetDifference is how one host differs from a revision. They are in the order
// of rollouts.
type FleetDifference struct {
	Host string `json:"host"`
	// Condition is one of the Fleet constants.
	Condition string `json:"condition"`
	// Revision is the revision that the host has; zero for none.
	Revision uint64 `json:"revision"`
	// Same is true when there is no difference; else Diff is it, unified.
	Same  bool   `json:"same"`
	Diff  string `json:"diff,omitempty"`
	Error string `json:"error,omitempty"`
}

// FleetPlan is what a rollout would change, or what was edited by hand.
type FleetPlan struct {
	// Revision is the one that hosts are compared with.
	Revision uint64            `json:"revision"`
	Hosts    []FleetDifference `json:"hosts"`
}

// FleetSettings say how a rollout goes. What is left out has its default.
type FleetSettings struct {
	// Canary is how many hosts make the first wave; 1 by default, below zero for
	// no wave of its own.
	Canary int `json:"canary,omitempty"`
	// Wave is how many hosts make each further wave: "3", or "25%", the default.
	Wave string `json:"wave,omitempty"`
	// Pause is how long a wave is watched: "10s" by default.
	Pause string `json:"pause,omitempty"`
	// AllowDrift takes along hosts that were edited by hand.
	AllowDrift bool `json:"allowDrift,omitempty"`
	// AllowDown lets backends be without a server up that were not before.
	AllowDown bool `json:"allowDown,omitempty"`
}

// NewFleetRollout asks for a rollout.
type NewFleetRollout struct {
	// Revision is what to put out; zero means the newest.
	Revision uint64 `json:"revision,omitempty"`
	// Expect is the revision that is out as the author knows it. When it is another
	// one, the answer is 409. Left out asks for nothing.
	Expect *uint64 `json:"expect,omitempty"`
	// Hosts are those to take part; none for all that have the document.
	Hosts    []string      `json:"hosts,omitempty"`
	Message  string        `json:"message,omitempty"`
	Settings FleetSettings `json:"settings"`
}

// The phases of a rollout.
const (
	RolloutRunning   = "running"   // hosts get the revision
	RolloutReverting = "reverting" // hosts get back what they had
	RolloutDone      = "done"      // it is out
	RolloutReverted  = "reverted"  // it is not, and the hosts have what they had
)

// FleetRollout is a rollout, under way or over.
type FleetRollout struct {
	// Number counts the rollouts of a document.
	Number   uint64 `json:"number"`
	Document string `json:"document"`
	Revision uint64 `json:"revision"`
	// Before is the revision that was out before; zero for none.
	Before  uint64    `json:"before"`
	Author  string    `json:"author"`
	Message string    `json:"message,omitempty"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
	// Phase is one of the Rollout constants, Reason why it is reverted.
	Phase  string `json:"phase"`
	Reason string `json:"reason,omitempty"`
	// Wave is the wave under way, from 1, of about Waves.
	Wave  int `json:"wave,omitempty"`
	Waves int `json:"waves,omitempty"`
	// Note is what the hosts of the wave count at the moment.
	Note string `json:"note,omitempty"`
	// States counts the hosts by state.
	States map[string]int `json:"states"`
	// Hosts are in their order; left out of lists.
	Hosts []FleetStep `json:"hosts,omitempty"`
}

// FleetStep is one host in a rollout.
type FleetStep struct {
	Host string `json:"host"`
	// Wave is its wave, from 1; zero while it has none.
	Wave int `json:"wave,omitempty"`
	// State is "waiting", "applying", "applied", "already" (it had the revision),
	// "absent" (it could not be reached), "refused" (it is as it was), "unknown"
	// (contact was lost on the way), "returning", "returned", or "lost" (it could
	// not be given back what it had).
	State string `json:"state"`
	// Error says what went wrong, in HAProxy's words where it has some.
	Error string    `json:"error,omitempty"`
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// Pending is true when the host gets a revision as soon as it can be reached.
	Pending bool `json:"pending,omitempty"`
}

// FleetHost is one HAProxy of a fleet. Hosts are in the order of the fleet file.
type FleetHost struct {
	Host     string `json:"host"`
	Document string `json:"document"`
	// Condition is one of the Fleet constants; Error says more.
	Condition string `json:"condition"`
	Error     string `json:"error,omitempty"`
	// Revision is what it has, zero for no revision, and Released what is out.
	Revision uint64 `json:"revision"`
	Released uint64 `json:"released"`
	// Contact is when it was last looked at well; left out for never in this run.
	Contact time.Time `json:"contact,omitzero"`
	// Container is how it is found, Transport how it is reached: "agent" or "shell".
	Container string `json:"container"`
	Transport string `json:"transport,omitempty"`
	// Version is HAProxy's, Uptime the age of the worker that serves, and Old the
	// number of those that finish what they have.
	Version string `json:"version,omitempty"`
	Uptime  string `json:"uptime,omitempty"`
	Old     int    `json:"old,omitempty"`
	// Statistics is what HAProxy counts; left out where it cannot be asked.
	Statistics *FleetStatistics `json:"statistics,omitempty"`
}

// FleetStatistics is what one HAProxy counts. Counters begin with its worker.
type FleetStatistics struct {
	Time            time.Time `json:"time"`
	Requests        int64     `json:"requests"`
	Failed          int64     `json:"failed"`
	Sessions        int64     `json:"sessions"`
	Current         int64     `json:"current"`
	ConnectFailures int64     `json:"connectFailures"`
	BytesIn         int64     `json:"bytesIn"`
	BytesOut        int64     `json:"bytesOut"`
	ServersUp       int       `json:"serversUp"`
	ServersDown     int       `json:"serversDown"`
	// Down are the backends without a server up.
	Down []string `json:"down,omitempty"`
	// RequestRate and FailureRate are per second, between the two newest readings.
	RequestRate float64 `json:"requestRate"`
	FailureRate float64 `json:"failureRate"`
}

// NewFleetRepair says what becomes of what was edited on a host.
type NewFleetRepair struct {
	Host string `json:"host"`
	// Action is "adopt", which makes it a new revision, or "restore", which
	// replaces it by the revision that is out.
	Action string `json:"action"`
	// Expect is the newest revision as the author knows it, for "adopt".
	Expect  uint64 `json:"expect,omitempty"`
	Message string `json:"message,omitempty"`
}

// FleetRepair says what was done.
type FleetRepair struct {
	Host string `json:"host"`
	Text string `json:"text"`
	// Revision is the new one after "adopt".
	Revision *FleetRevision `json:"revision,omitempty"`
}

// Patient is a client whose calls may take so long. It shares the connections.
func (c *Client) Patient(timeout time.Duration) *Client {
	patient, carrier := *c, *c.http
	carrier.Timeout = timeout
	patient.http = &carrier
	return &patient
}

func fleetPath(document, more string) string {
	return "/v1/fleet/documents/" + url.PathEscape(document) + more
}

// FleetDocuments lists the documents.
func (c *Client) FleetDocuments(ctx context.Context) (List[FleetDocument], error) {
	return list[FleetDocument](ctx, c, "/v1/fleet/documents", nil)
}

// FleetRevisions lists the revisions of a document, at most limit; zero means 50.
func (c *Client) FleetRevisions(ctx context.Context, document string, limit int) (List[FleetRevision], error) {
	return list[FleetRevision](ctx, c, fleetPath(document, "/revisions"), url.Values{"limit": given(limit)})
}

// FleetRevision returns a revision with its content; zero is the newest.
func (c *Client) FleetRevision(ctx context.Context, document string, number uint64) (FleetRevision, error) {
	which := "newest"
	if number != 0 {
		which = strconv.FormatUint(number, 10)
	}
	return get[FleetRevision](ctx, c, fleetPath(document, "/revisions/"+which), nil)
}

// PutFleetRevision appends a revision; an *Error with 409 when another was faster.
func (c *Client) PutFleetRevision(ctx context.Context, document string, n NewFleetRevision) (FleetRevision, error) {
	return post[FleetRevision](ctx, c, fleetPath(document, "/revisions"), n)
}

// FleetDiff says what differs between two revisions. Zero for from is the one
// before to, zero for to the newest.
func (c *Client) FleetDiff(ctx context.Context, document string, from, to uint64) (FleetDiff, error) {
	return get[FleetDiff](ctx, c, fleetPath(document, "/diff"), url.Values{"from": given(from), "to": given(to)})
}

// CheckFleet asks HAProxy on hosts what it thinks of a configuration.
func (c *Client) CheckFleet(ctx context.Context, document string, n NewFleetCheck) (List[FleetCheck], error) {
	return post[List[FleetCheck]](ctx, c, fleetPath(document, "/check"), n)
}

// FleetPlan says what a rollout of a revision would change; zero is the newest.
func (c *Client) FleetPlan(ctx context.Context, document string, revision uint64, hosts []string) (FleetPlan, error) {
	return get[FleetPlan](ctx, c, fleetPath(document, "/plan"), url.Values{"revision": given(revision), "hosts": text(strings.Join(hosts, ","))})
}

// FleetDrift says what was edited by hand on hosts.
func (c *Client) FleetDrift(ctx context.Context, document string, hosts []string) (FleetPlan, error) {
	return get[FleetPlan](ctx, c, fleetPath(document, "/drift"), url.Values{"hosts": text(strings.Join(hosts, ","))})
}

// RepairFleet adopts what was edited on a host, or puts back what is out.
func (c *Client) RepairFleet(ctx context.Context, document string, n NewFleetRepair) (FleetRepair, error) {
	return post[FleetRepair](ctx, c, fleetPath(document, "/drift"), n)
}

// StartRollout begins a rollout; an *Error with 409 when one is under way, another
// revision is out than expected, or a host was edited by hand.
func (c *Client) StartRollout(ctx context.Context, document string, n NewFleetRollout) (FleetRollout, error) {
	return post[FleetRollout](ctx, c, fleetPath(document, "/rollout"), n)
}

// Rollout returns the newest rollout of a document, under way or over.
func (c *Client) Rollout(ctx context.Context, document string) (FleetRollout, error) {
	return get[FleetRollout](ctx, c, fleetPath(document, "/rollout"), nil)
}

// StopRollout ends a rollout; the hosts get back what they had.
func (c *Client) StopRollout(ctx context.Context, document string) (Done, error) {
	return remove[Done](ctx, c, fleetPath(document, "/rollout"), nil)
}

// Rollouts lists the rollouts of a document that have ended, the newest first.
func (c *Client) Rollouts(ctx context.Context, document string) (List[FleetRollout], error) {
	return list[FleetRollout](ctx, c, fleetPath(document, "/rollouts"), nil)
}

// FleetHosts says how the hosts are; of all documents for an empty name.
func (c *Client) FleetHosts(ctx context.Context, document string) (List[FleetHost], error) {
	return list[FleetHost](ctx, c, "/v1/fleet/hosts", url.Values{"document": text(document)})
}
