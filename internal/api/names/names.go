// Package names is the wire types of the admin API about DNS, and the calls for them.
package names

import (
	"context"
	"net/url"
	"time"

	"fairway/internal/api"
)

// Names is how the DNS server is doing.
type Names struct {
	// Listen are the addresses that are listened on, sorted.
	Listen []string `json:"listen"`
	// Unbound are addresses that should be listened on and cannot be, each with why, sorted.
	Unbound []string `json:"unbound,omitempty"`
	// Zones are the domains that are answered for; the first is that of names in answers.
	Zones []string `json:"zones"`
	// Serial is that of the zones; it does not go down.
	Serial uint64 `json:"serial"`
	// Services and Instances is how many have names.
	Services  int `json:"services"`
	Instances int `json:"instances"`
	// Unsure says why it is not known that a name is not there; empty where it is.
	Unsure string `json:"unsure,omitempty"`
	// Taken are names that a service asks for and does not get, sorted.
	Taken []TakenName `json:"taken"`
	// Clients are those who asked since the start, the newest first, at most 1,000.
	Clients []NameClient `json:"clients"`
	// Resolvers look up names of others; none refuses them.
	Resolvers []Resolver `json:"resolvers"`
}

// Resolver is a server that names of others are looked up at.
type Resolver struct {
	// Address is where it is asked.
	Address string `json:"address"`
	// Domain is what it is asked for: "." for everything.
	Domain string `json:"domain"`
	// State is "up", "down" (its newest three questions had no answer) or "loop" (it asks this server).
	State string `json:"state"`
	// Seconds is how long an answer takes, smoothed; zero for none yet.
	Seconds float64 `json:"seconds,omitempty"`
}

// NameClient is one who asks.
type NameClient struct {
	// Address is where the questions come from; Instance is what asks, empty for none.
	Address  string `json:"address"`
	Instance string `json:"instance,omitempty"`
	// Questions is how many.
	Questions uint64 `json:"questions"`
	// Last is when the newest came, within a second.
	Last time.Time `json:"last"`
}

// TakenName is a name that a service asks for and does not get.
type TakenName struct {
	Name string `json:"name"`
	// Holder is the ID of the service that has it; empty for a name in none of the zones.
	Holder string `json:"holder,omitempty"`
	// Service is the ID of the one that asks for it.
	Service string `json:"service"`
	// ByLabel is true where a label asks for the name, which is a finding; without, it is the short
	// name of a service of a project.
	ByLabel bool `json:"byLabel,omitempty"`
}

// Name is a name that is answered.
type Name struct {
	Name string `json:"name"`
	// Kind is what it means: "service", "instance", "host name", "label" or "node".
	Kind string `json:"kind"`
	// Of is the ID of the service or node, or the name of the instance.
	Of string `json:"of"`
}

// NameExplanation says what is answered to a question of DNS, and why.
type NameExplanation struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Client is who asks.
	Client string `json:"client"`
	// Rcode is that of DNS, such as NOERROR; FOREIGN for a name of others.
	Rcode string `json:"rcode"`
	// Records are the answer, and Extra what is beside it, as text.
	Records []string `json:"records"`
	Extra   []string `json:"extra,omitempty"`
	// Zone is the domain that the name is in; empty for none.
	Zone string `json:"zone,omitempty"`
	// Form is what the name means.
	Form string `json:"form,omitempty"`
	// View is how the client sees instances, Rung by what it reaches those of the answer.
	View string `json:"view"`
	Rung string `json:"rung,omitempty"`
	// Text says why nothing is answered, or what is not known.
	Text string `json:"text,omitempty"`
	// Members are the instances that the name stands for, with what became of each.
	Members []NameMember `json:"members"`
}

// NameMember is what became of an instance in an answer.
type NameMember struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	// Address was given, with a port for SRV; empty for none.
	Address string `json:"address,omitempty"`
	// Why is where the address comes from, or why there is none.
	Why string `json:"why"`
}

// Get says how the DNS server is doing; an *api.Error with 503 where there is none.
func Get(ctx context.Context, c *api.Client) (Names, error) {
	return api.Get[Names](ctx, c, "/v1/dns", nil)
}

// List returns the names that are answered, sorted.
func List(ctx context.Context, c *api.Client) (api.List[Name], error) {
	return api.Get[api.List[Name]](ctx, c, "/v1/dns/names", nil)
}

// Explain says what is answered to a question, and why. An empty type is A, an empty client
// this machine.
func Explain(ctx context.Context, c *api.Client, name, qtype, client string) (NameExplanation, error) {
	query := url.Values{"name": {name}}
	for key, value := range map[string]string{"type": qtype, "client": client} {
		if value != "" {
			query.Set(key, value)
		}
	}
	return api.Get[NameExplanation](ctx, c, "/v1/dns/explain", query)
}
