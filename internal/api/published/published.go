// Package published is the wire types of the admin API about what is published, and the calls
// for them.
package published

import (
	"context"
	"net/url"
	"time"

	"fairway/internal/api"
)

// Published is how publishing is doing.
type Published struct {
	// Registry is what is written to: "agent of Consul".
	Registry string `json:"registry"`
	// Owner is the ID of this Fairway in the entries.
	Owner string `json:"owner"`
	// State is "waiting" (for the sources), "current", "behind" (something differs,
	// is refused or could not be written), "away" (the registry cannot be asked) or "stopped"
	// (another writes them, an operator has withdrawn them, or none is wanted).
	State string `json:"state"`
	// Reason says why it is not current; empty where it is.
	Reason string `json:"reason,omitempty"`
	// Read is when the registry was last read; zero for never in this run.
	Read time.Time `json:"read,omitzero"`
	// Entries are those that are wanted or there, sorted by ID.
	Entries []PublishedEntry `json:"entries"`
	// Problems are why something is not published, or not as it is asked for.
	Problems []PublishedProblem `json:"problems"`
}

// PublishedEntry is one of the registry, as it is wanted and as it is.
type PublishedEntry struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Address and Port are where clients are sent.
	Address string   `json:"address"`
	Port    int      `json:"port"`
	Tags    []string `json:"tags,omitempty"`
	// Check is the state that is written: "passing" or "critical"; Output says why.
	Check  string `json:"check,omitempty"`
	Output string `json:"output,omitempty"`
	// State is "registered", "missing", "differs", "refused" (the entry of another has its
	// place), "waits" (its source is silent) or "unwanted" (it is to go).
	State string `json:"state"`
	// Why says what differs, or why it is not written or removed.
	Why string `json:"why,omitempty"`
	// Error is why the last write failed, since when; empty for none.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Service is the ID of the service, Instance the name of the instance, Source who sees it.
	Service  string `json:"service,omitempty"`
	Instance string `json:"instance,omitempty"`
	Source   string `json:"source,omitempty"`
}

// PublishedProblem is why something is not published as it is asked for.
type PublishedProblem struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	Text     string `json:"text"`
}

// Get says what is published; an *api.Error with 503 where nothing is.
func Get(ctx context.Context, c *api.Client) (Published, error) {
	return api.Get[Published](ctx, c, "/v1/publish", nil)
}

// Apply has everything written now; with removals also those that were held.
func Apply(ctx context.Context, c *api.Client, removals bool) (api.Done, error) {
	query := url.Values{}
	if removals {
		query.Set("removals", "true")
	}
	return api.Post[api.Done](ctx, c, "/v1/publish/apply", query)
}

// Withdraw removes all entries of this Fairway and stops publishing until Apply.
func Withdraw(ctx context.Context, c *api.Client) (api.Done, error) {
	return api.Post[api.Done](ctx, c, "/v1/publish/withdraw", nil)
}
