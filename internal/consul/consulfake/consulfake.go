// Package consulfake is a Consul in memory for tests: one agent that is its own server, with
// the faults that a test wants. Its tests hold it to what the real Consul does.
package consulfake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/consul"
)

// Consul is an agent with its server. Its methods are those of *consul.Client.
type Consul struct {
	node consul.Node

	mu       sync.Mutex
	changed  chan struct{}
	index    uint64
	byName   map[string]uint64 // index of each service
	checkIdx uint64
	nameIdx  uint64
	services map[string]consul.Service
	checks   map[string]*check
	fault    func(call string) error
	noLeader bool
	shift    uint64 // taken off every index, as after a restored snapshot
	hide     func(name string) bool
	filtered bool
	calls    map[string]int
	held     int
	mostHeld int
}

type check struct {
	consul.Check
	ttl, forget time.Duration
	until       time.Time // of the TTL
	criticalAt  time.Time
}

// New returns an agent with a node's name and address, and nothing registered.
func New(node, address string) *Consul {
	return &Consul{
		node: consul.Node{Node: node, Address: address}, changed: make(chan struct{}), index: 10, nameIdx: 10, checkIdx: 10, byName: map[string]uint64{},
		services: map[string]consul.Service{"consul": {ID: "consul", Name: "consul", Port: 8300}},
		checks:   map[string]*check{"serfHealth": {Check: consul.Check{CheckID: "serfHealth", Name: "Serf Health Status", Status: consul.Passing}}},
		calls:    map[string]int{},
	}
}

// Break has calls fail for which f, asked with the name of the method and its subject, returns
// an error; nil mends it. Held queries return.
func (c *Consul) Break(f func(call string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
	c.wake()
}

// Leaderless takes the leader away, or gives it back.
func (c *Consul) Leaderless(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noLeader = yes
}

// Hide has lists and reads leave services out, as for a token that may not read them.
func (c *Consul) Hide(f func(name string) bool, filtered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hide, c.filtered = f, filtered
	c.touch("")
}

// Rewind sets the index back, as a restored snapshot does.
func (c *Consul) Rewind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shift = c.index - 5
	c.wake()
}

// Touch raises the index of a service without a change, and of the names.
func (c *Consul) Touch(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touch(name)
}

// Lose forgets everything that was registered, as an agent without its data does.
func (c *Consul) Lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := New(c.node.Node, c.node.Address)
	c.services, c.checks = fresh.services, fresh.checks
	c.touch("")
}

// Calls is how often a method was called, and MostHeld how many queries were held at once.
func (c *Consul) Calls(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

// MostHeld is how many queries were held at once at most.
func (c *Consul) MostHeld() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mostHeld
}

// SetCheck sets the state of any check, also one of the node or of a maintenance, which need
// not be there.
func (c *Consul) SetCheck(x consul.Check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks[x.CheckID] = &check{Check: x}
	c.touchChecks(x.ServiceID)
}

func (c *Consul) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// touch raises indexes and wakes those who wait. It is called with the lock held.
func (c *Consul) touch(name string) {
	c.index++
	c.nameIdx = c.index
	c.byName[name] = c.index
	c.wake()
}

func (c *Consul) touchChecks(service string) {
	c.index++
	c.checkIdx = c.index
	for id, s := range c.services {
		if service == "" || id == service {
			c.byName[s.Name] = c.index
		}
	}
	c.wake()
}

// expire ends what has a time, as the agent does by itself.
func (c *Consul) expire() {
	now := time.Now()
	for _, x := range c.checks {
		if x.ttl > 0 && x.Status != consul.Critical && now.After(x.until) {
			x.Status, x.Output, x.criticalAt = consul.Critical, "TTL expired", x.until
			c.touchChecks(x.ServiceID)
		}
		if x.forget > 0 && x.Status == consul.Critical && now.Sub(x.criticalAt) > x.forget {
			c.remove(x.ServiceID)
		}
	}
}

func (c *Consul) remove(id string) {
	s, there := c.services[id]
	if !there {
		return
	}
	delete(c.services, id)
	maps.DeleteFunc(c.checks, func(_ string, x *check) bool { return x.ServiceID == id })
	c.touch(s.Name)
}

// begin counts a call and returns its fault.
func (c *Consul) begin(method, subject string) error {
	c.calls[method]++
	c.expire()
	if c.fault != nil {
		return c.fault(strings.TrimSpace(method + " " + subject))
	}
	return nil
}

// await holds a query until its index is passed. It is called with the lock held.
func (c *Consul) await(ctx context.Context, q consul.Query, index func() uint64, call string) (consul.Meta, error) {
	deadline := time.After(q.Wait)
	c.held++
	c.mostHeld = max(c.mostHeld, c.held)
	defer func() { c.held-- }()
	for q.Index > 0 && index()-min(c.shift, index()) == q.Index {
		changed := c.changed
		c.mu.Unlock()
		var err error
		over := false
		select {
		case <-changed:
		case <-deadline:
			over = true
		case <-ctx.Done():
			err = ctx.Err()
		}
		c.mu.Lock()
		if err == nil && c.fault != nil {
			err = c.fault(call)
		}
		if err != nil {
			return consul.Meta{}, err
		}
		if over {
			break
		}
	}
	next := max(index()-min(c.shift, index()), 1)
	if next < q.Index {
		next = 0
	}
	return consul.Meta{Index: next, NoLeader: c.noLeader, Filtered: c.filtered}, nil
}

// Services is that of the client.
func (c *Consul) Services(ctx context.Context, q consul.Query) (map[string][]string, consul.Meta, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("Services", ""); err != nil {
		return nil, consul.Meta{}, err
	}
	m, err := c.await(ctx, q, func() uint64 { return c.nameIdx }, "Services")
	if err != nil {
		return nil, m, err
	}
	names := map[string][]string{}
	for _, s := range c.services {
		if c.hide != nil && c.hide(s.Name) {
			continue
		}
		for _, tag := range s.Tags {
			if !slices.Contains(names[s.Name], tag) {
				names[s.Name] = append(names[s.Name], tag)
			}
		}
		names[s.Name] = append(names[s.Name], []string{}...)
	}
	return names, m, nil
}

// Health is that of the client.
func (c *Consul) Health(ctx context.Context, name string, q consul.Query) ([]consul.Entry, consul.Meta, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("Health", name); err != nil {
		return nil, consul.Meta{}, err
	}
	m, err := c.await(ctx, q, func() uint64 { return max(c.byName[name], 10) }, "Health "+name)
	if err != nil {
		return nil, m, err
	}
	var list []consul.Entry
	for _, id := range slices.Sorted(maps.Keys(c.services)) {
		s := c.services[id]
		if s.Name != name || c.hide != nil && c.hide(name) {
			continue
		}
		e := consul.Entry{Node: c.node, Service: s}
		for _, x := range slices.Sorted(maps.Keys(c.checks)) {
			if of := c.checks[x].ServiceID; of == "" || of == id {
				e.Checks = append(e.Checks, c.checks[x].Check)
			}
		}
		list = append(list, e)
	}
	return list, m, nil
}

// Checks is that of the client.
func (c *Consul) Checks(ctx context.Context, q consul.Query) (consul.Meta, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("Checks", ""); err != nil {
		return consul.Meta{}, err
	}
	return c.await(ctx, q, func() uint64 { return c.checkIdx }, "Checks")
}

// Leader is that of the client.
func (c *Consul) Leader(context.Context, string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("Leader", ""); err != nil || c.noLeader {
		return "", err
	}
	return "127.0.0.1:8300", nil
}

// Register is that of the client.
func (c *Consul) Register(_ context.Context, r consul.Registration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("Register", r.ID); err != nil {
		return err
	}
	for key := range r.Meta {
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return &consul.Error{Status: 400, Text: fmt.Sprintf("Invalid Service Meta: Couldn't load metadata pair ('%s', '%s'): Key contains invalid characters", key, r.Meta[key])}
		}
	}
	s := consul.Service{
		ID: r.ID, Name: r.Name, Tags: slices.Clone(r.Tags), Address: r.Address, Port: r.Port, Meta: maps.Clone(r.Meta),
		EnableTagOverride: r.EnableTagOverride, Weights: consul.Weights{Passing: 1, Warning: 1},
	}
	if r.Weights != nil {
		s.Weights = *r.Weights
	}
	c.services[r.ID] = s
	for _, d := range r.Checks {
		d.ServiceID = r.ID
		if err := c.define(d); err != nil {
			return err
		}
	}
	c.touch(r.Name)
	return nil
}

func (c *Consul) define(d consul.Definition) error {
	if _, there := c.services[d.ServiceID]; !there {
		return &consul.Error{Status: 404, Text: fmt.Sprintf("ServiceID %q does not exist", d.ServiceID)}
	}
	x := &check{Check: consul.Check{CheckID: d.CheckID, Name: d.Name, ServiceID: d.ServiceID, Status: d.Status, Type: kind(d)}, criticalAt: time.Now()}
	if x.Status == "" {
		x.Status = consul.Critical
	}
	x.ttl, _ = time.ParseDuration(d.TTL)
	x.forget, _ = time.ParseDuration(d.DeregisterCriticalServiceAfter)
	x.until = time.Now().Add(x.ttl)
	if old := c.checks[d.CheckID]; old != nil { // an agent keeps the state of what it has
		x.Status, x.Output, x.criticalAt = old.Status, old.Output, old.criticalAt
	}
	c.checks[d.CheckID] = x
	c.touchChecks(d.ServiceID)
	return nil
}

func kind(d consul.Definition) string {
	switch {
	case d.TTL != "":
		return "ttl"
	case d.HTTP != "":
		return "http"
	case d.GRPC != "":
		return "grpc"
	}
	return "tcp"
}

// RegisterCheck is that of the client.
func (c *Consul) RegisterCheck(_ context.Context, d consul.Definition) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("RegisterCheck", d.CheckID); err != nil {
		return err
	}
	return c.define(d)
}

// Deregister is that of the client.
func (c *Consul) Deregister(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("Deregister", id); err != nil {
		return err
	}
	c.remove(id)
	return nil
}

// DeregisterCheck is that of the client.
func (c *Consul) DeregisterCheck(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("DeregisterCheck", id); err != nil {
		return err
	}
	if x := c.checks[id]; x != nil {
		delete(c.checks, id)
		c.touchChecks(x.ServiceID)
	}
	return nil
}

// UpdateCheck is that of the client.
func (c *Consul) UpdateCheck(_ context.Context, id, status, output string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("UpdateCheck", id); err != nil {
		return err
	}
	x := c.checks[id]
	if x == nil || x.ttl == 0 {
		return &consul.Error{Status: 404, Text: fmt.Sprintf("Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)}
	}
	if status == consul.Critical && x.Status != status {
		x.criticalAt = time.Now()
	}
	changed := x.Status != status
	x.Status, x.Output, x.until = status, output, time.Now().Add(x.ttl)
	if changed {
		c.touchChecks(x.ServiceID)
	}
	return nil
}

// AgentServices is that of the client.
func (c *Consul) AgentServices(context.Context) (map[string]consul.AgentService, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("AgentServices", ""); err != nil {
		return nil, err
	}
	list := maps.Clone(c.services)
	delete(list, "consul")
	return list, nil
}

// AgentChecks is that of the client.
func (c *Consul) AgentChecks(context.Context) (map[string]consul.Check, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("AgentChecks", ""); err != nil {
		return nil, err
	}
	list := map[string]consul.Check{}
	for id, x := range c.checks {
		if x.ServiceID != "" {
			list[id] = x.Check
		}
	}
	return list, nil
}

// AgentAddress is that of the client.
func (c *Consul) AgentAddress(context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node.Address, c.begin("AgentAddress", "")
}
