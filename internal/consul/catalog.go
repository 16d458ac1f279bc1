package consul

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The states of checks.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
)

// The checks by which operators take a node or a service out; that of a service has its ID
// behind it.
const (
	NodeMaintenance    = "_node_maintenance"
	ServiceMaintenance = "_service_maintenance:"
)

// Query says where and when a part of the catalogue is read. Any server may answer, also one
// that is behind: Meta says by how much.
type Query struct {
	// Datacenter is another one than that of the agent; empty for that.
	Datacenter string
	// Index holds the answer until its index is above; zero answers at once.
	Index uint64
	// Wait is for how long at most, up to 10 min.
	Wait time.Duration
}

// Meta is what an answer says of itself.
type Meta struct {
	// Index is that for the next query; zero where the index went back.
	Index uint64
	// NoLeader is true where the server that answered knows no leader.
	NoLeader bool
	// Behind is since when that server has not heard of the leader.
	Behind time.Duration
	// Filtered is true where the token may not read everything.
	Filtered bool
}

// Node is a machine of the catalogue.
type Node struct {
	Node            string
	Address         string
	TaggedAddresses map[string]string
	Meta            map[string]string
}

// Service is one registered instance of a service.
type Service struct {
	ID   string
	Name string `json:"Service"`
	// Kind is empty for services of users.
	Kind            string
	Tags            []string
	Address         string
	Port            int
	TaggedAddresses map[string]ServiceAddress
	Meta            map[string]string
	Weights         Weights
	// EnableTagOverride lets others change the tags.
	EnableTagOverride bool
}

// ServiceAddress is another address of an instance.
type ServiceAddress struct {
	Address string
	Port    int
}

// Weights are the shares of an instance by the state of its checks.
type Weights struct{ Passing, Warning int }

// Check is the state of a node or an instance in one respect.
type Check struct {
	CheckID string
	Name    string
	// Status is Passing, Warning or Critical.
	Status string
	// Notes are the operator's words, such as the reason of a maintenance.
	Notes  string
	Output string
	// ServiceID is empty for a check of the node.
	ServiceID string
	// Type is ttl, http, tcp and so on; empty where Consul does not say.
	Type string
}

// Entry is one instance with its node, its own checks and those of the node.
type Entry struct {
	Node    Node
	Service Service
	Checks  []Check
}

// Services reads the names of all services, with every tag that an instance has.
func (c *Client) Services(ctx context.Context, q Query) (names map[string][]string, m Meta, err error) {
	m, err = c.catalogue(ctx, "/v1/catalog/services", "", q, &names)
	return names, m, err
}

// Health reads the instances of a service in every state.
func (c *Client) Health(ctx context.Context, name string, q Query) (entries []Entry, m Meta, err error) {
	m, err = c.catalogue(ctx, "/v1/health/service/"+url.PathEscape(name), "", q, &entries)
	return entries, m, err
}

// Checks waits for a change of any check and reads none.
func (c *Client) Checks(ctx context.Context, q Query) (Meta, error) {
	var none []Check
	return c.catalogue(ctx, "/v1/health/state/any", `CheckID == ""`, q, &none)
}

// Leader asks for the address of the leader of a datacenter; empty for none.
func (c *Client) Leader(ctx context.Context, datacenter string) (leader string, err error) {
	query := url.Values{}
	if datacenter != "" {
		query.Set("dc", datacenter)
	}
	out, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/status/leader", query: query})
	if err != nil {
		return "", err
	}
	return leader, decode(out.body, &leader)
}

func (c *Client) catalogue(ctx context.Context, path, filter string, q Query, into any) (Meta, error) {
	in := call{method: http.MethodGet, path: path, query: url.Values{"stale": {""}}}
	if q.Datacenter != "" {
		in.query.Set("dc", q.Datacenter)
	}
	if filter != "" {
		in.query.Set("filter", filter)
	}
	in.holdFor(q.Index, q.Wait)
	out, err := c.do(ctx, in)
	if err != nil {
		return Meta{}, err
	}
	behind, _ := strconv.ParseInt(out.header.Get("X-Consul-Lastcontact"), 10, 64)
	return Meta{
		Index:    out.next(q.Index),
		NoLeader: out.header.Get("X-Consul-Knownleader") == "false",
		Behind:   time.Duration(max(behind, 0)) * time.Millisecond,
		Filtered: out.header.Get("X-Consul-Results-Filtered-By-Acls") == "true",
	}, decode(out.body, into)
}

// MetaOwner is the key of a registration's metadata that has the owner of an entry, where a
// Fairway has written it.
const MetaOwner = "fairway-owner"
