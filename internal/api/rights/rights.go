// Package rights is the wire types of who may claim which names: the records of the key
// owners, and what is asked of them.
package rights

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
)

// OwnerRecord is a record of the key owners, with what its services hold now. The last one
// of a list, without a name, is that of the services that no record fits, if there are any.
type OwnerRecord struct {
	// Name is empty where no record fits: then everything is allowed.
	Name string `json:"name"`
	// Sources, Nodes, Projects, Stacks and Labels say whom it is for, as in the configuration;
	// left out where they are not asked for.
	Sources  []string `json:"sources,omitempty"`
	Nodes    []string `json:"nodes,omitempty"`
	Projects []string `json:"projects,omitempty"`
	Stacks   []string `json:"stacks,omitempty"`
	Labels   []string `json:"labels,omitempty"`
	// Hosts, Paths, TCPPorts, Priorities, Snippets, Outbound and Certificates are what it allows, as in the configuration.
	Hosts      []string `json:"hosts,omitempty"`
	Paths      []string `json:"paths,omitempty"`
	TCPPorts   []string `json:"tcpPorts,omitempty"`
	Priorities string   `json:"priorities,omitempty"`
	Snippets   bool     `json:"snippets,omitempty"`

	Outbound     bool     `json:"outbound,omitempty"`
	Certificates []string `json:"certificates,omitempty"`
	// Services is how many services with labels of Fairway it decides about, Routes how many
	// routes they have, and Refused how many routes they may not have: of those that are listed
	// as problems.
	Services int `json:"services"`
	Routes   int `json:"routes"`
	Refused  int `json:"refused"`
	// Holds are the hosts of those routes, sorted, at most 100; never null.
	Holds []string `json:"holds"`
}

// Whom says in words whom the record is for.
func (r OwnerRecord) Whom() string {
	var words []string
	for _, key := range []struct {
		name string
		list []string
	}{{"source", r.Sources}, {"node", r.Nodes}, {"project", r.Projects}, {"stack", r.Stacks}} {
		if len(key.list) > 0 {
			words = append(words, key.name+" "+strings.Join(key.list, "|"))
		}
	}
	words = append(words, r.Labels...)
	switch {
	case r.Name == "":
		return "services that no record fits"
	case len(words) == 0:
		return "everybody"
	}
	return strings.Join(words, ", ")
}

// MayClaim says in words what the record allows.
func (r OwnerRecord) MayClaim() string {
	if r.Name == "" {
		return "everything"
	}
	words := slices.Clone(r.Hosts)
	if len(r.Paths) > 0 {
		words = append(words, "below "+strings.Join(r.Paths, "|"))
	}
	if len(r.TCPPorts) > 0 {
		words = append(words, "TCP "+strings.Join(r.TCPPorts, "|"))
	}
	if r.Priorities != "" {
		words = append(words, "priority "+r.Priorities)
	}
	if r.Snippets {
		words = append(words, "snippets")
	}
	if r.Outbound {
		words = append(words, "outbound")
	}
	if len(r.Certificates) > 0 {
		words = append(words, "certificates "+strings.Join(r.Certificates, "|"))
	}
	return cmp.Or(strings.Join(words, ", "), "nothing")
}

// Question says what is asked. Service is one that exists; without it, the owner is described
// by Source, Node, Project, Stack and Labels (KEY=VALUE). Where nothing says who asks, every
// record is asked.
type Question struct {
	Service                      string
	Source, Node, Project, Stack string
	Labels                       []string
	// Host and Path, a prefix, are those of a route; empty for none.
	Host, Path string
	// TCPPort is the port of a route that passes connections through; zero for none.
	TCPPort  int
	Priority int
	Snippets bool
}

// OwnerAnswer is what one record says.
type OwnerAnswer struct {
	// Service is the ID of the service that is asked about; left out where there is none.
	Service string `json:"service,omitempty"`
	// Record is the name of the record that decides; empty where none fits.
	Record string `json:"record"`
	// Allowed is true when everything that was asked for may be claimed.
	Allowed bool `json:"allowed"`
	// Text says it in a sentence, Hint, if any, what to do.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// Records lists the records of the key owners.
func Records(ctx context.Context, c *api.Client) (api.List[OwnerRecord], error) {
	return api.Get[api.List[OwnerRecord]](ctx, c, "/v1/owners", nil)
}

// Values are the question as parameters of a query.
func (q Question) Values() url.Values {
	values := url.Values{"label": q.Labels}
	for name, value := range q.texts() {
		if *value != "" {
			values.Set(name, *value)
		}
	}
	for name, value := range q.numbers() {
		if *value != 0 {
			values.Set(name, strconv.Itoa(*value))
		}
	}
	if q.Snippets {
		values.Set("snippets", "true")
	}
	return values
}

// Read reads what Values writes. The error says which number is none.
func Read(values url.Values) (Question, error) {
	q := Question{Labels: values["label"], Snippets: values.Get("snippets") == "true"}
	for name, value := range q.texts() {
		*value = values.Get(name)
	}
	for name, value := range q.numbers() {
		text := values.Get(name)
		n, err := strconv.Atoi(text)
		if err != nil && text != "" {
			return q, fmt.Errorf("%s %q: a number is wanted", name, text)
		}
		*value = n
	}
	return q, nil
}

func (q *Question) texts() map[string]*string {
	return map[string]*string{
		"service": &q.Service, "source": &q.Source, "node": &q.Node, "project": &q.Project, "stack": &q.Stack, "host": &q.Host, "path": &q.Path,
	}
}

func (q *Question) numbers() map[string]*int {
	return map[string]*int{"port": &q.TCPPort, "priority": &q.Priority}
}

// Check asks who may claim what.
func Check(ctx context.Context, c *api.Client, q Question) (api.List[OwnerAnswer], error) {
	return api.Get[api.List[OwnerAnswer]](ctx, c, "/v1/owners/check", q.Values())
}
