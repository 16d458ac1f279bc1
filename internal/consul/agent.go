package consul

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Registration is a service that an agent is to have, with checks that are to be with it.
type Registration struct {
	ID                string
	Name              string
	Tags              []string          `json:",omitempty"`
	Address           string            `json:",omitempty"`
	Port              int               `json:",omitempty"`
	Meta              map[string]string `json:",omitempty"`
	Weights           *Weights          `json:",omitempty"`
	EnableTagOverride bool              `json:",omitempty"`
	Checks            []Definition      `json:",omitempty"`
}

// Definition is a check that an agent runs, or with TTL one whose state others say.
type Definition struct {
	CheckID string `json:",omitempty"`
	Name    string
	// ServiceID is needed where the check is registered by itself.
	ServiceID string `json:",omitempty"`
	// Status is that of a check the agent does not have yet; empty is critical.
	Status string `json:",omitempty"`
	TTL    string `json:",omitempty"`

	HTTP          string `json:",omitempty"`
	Method        string `json:",omitempty"`
	TLSSkipVerify bool   `json:",omitempty"`
	TCP           string `json:",omitempty"`
	GRPC          string `json:",omitempty"`
	GRPCUseTLS    bool   `json:",omitempty"`
	Interval      string `json:",omitempty"`
	Timeout       string `json:",omitempty"`

	DeregisterCriticalServiceAfter string `json:",omitempty"`
}

// AgentService is a service that an agent has.
type AgentService = Service

// Register gives an agent a service, or changes it. A check that the agent has keeps its
// state, and checks that are not named stay.
func (c *Client) Register(ctx context.Context, r Registration) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/service/register", body: r, again: true})
	return err
}

// Deregister takes a service and its checks from an agent; one that is not there is no error.
func (c *Client) Deregister(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/service/deregister/" + url.PathEscape(id), again: true}, http.StatusNotFound)
	return err
}

// RegisterCheck gives an agent a check of a service that it has.
func (c *Client) RegisterCheck(ctx context.Context, d Definition) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/check/register", body: checkBody(d), again: true})
	return err
}

// checkBody is a check registered by itself, whose ID has another name there.
func checkBody(d Definition) any {
	id := d.CheckID
	d.CheckID = ""
	return struct {
		ID string
		Definition
	}{id, d}
}

// DeregisterCheck takes a check from an agent; one that is not there is no error.
func (c *Client) DeregisterCheck(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/check/deregister/" + url.PathEscape(id), again: true}, http.StatusNotFound)
	return err
}

// UpdateCheck says the state of a check with a TTL, which begins anew.
func (c *Client) UpdateCheck(ctx context.Context, id, status, output string) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/check/update/" + url.PathEscape(id), again: true, body: struct {
		Status, Output string
	}{status, output}})
	return err
}

// AgentServices are the services that an agent has, by their IDs.
func (c *Client) AgentServices(ctx context.Context) (map[string]AgentService, error) {
	var list map[string]AgentService
	err := c.agent(ctx, "/v1/agent/services", &list)
	return list, err
}

// AgentChecks are the checks that an agent has, by their IDs.
func (c *Client) AgentChecks(ctx context.Context) (map[string]Check, error) {
	var list map[string]Check
	err := c.agent(ctx, "/v1/agent/checks", &list)
	return list, err
}

// AgentAddress is the address under which the agent is known to others.
func (c *Client) AgentAddress(ctx context.Context) (string, error) {
	var self struct{ Member struct{ Addr string } }
	err := c.agent(ctx, "/v1/agent/self", &self)
	return self.Member.Addr, err
}

func (c *Client) agent(ctx context.Context, path string, into any) error {
	out, err := c.do(ctx, call{method: http.MethodGet, path: path, query: url.Values{}})
	if err != nil {
		return err
	}
	return decode(out.body, into)
}

// Seconds writes a duration as Consul reads it.
func Seconds(d time.Duration) string { return d.Truncate(time.Millisecond).String() }
