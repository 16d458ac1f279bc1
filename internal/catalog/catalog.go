// Package catalog holds what exists: the services, instances and nodes that the
// sources see, as one immutable Snapshot.
//
// The catalogue carries facts, never policy: which label means what and which address is
// dialled is decided in package compile.
package catalog

import (
	"time"

	"fairway/internal/feed"
)

// Snapshot is everything that exists at one moment. It is immutable once it has been
// published. Services that did not change between two snapshots are the same pointer.
type Snapshot struct {
	// Revision only grows within one run, and with each change. Zero is no snapshot.
	Revision uint64 `json:"revision"`
	// Taken is when the newest answer came, for people.
	Taken time.Time `json:"taken"`
	// Restored is true while every answer in the snapshot is of the last run.
	Restored bool `json:"restored,omitempty"`
	// Sources has each configured source, sorted by name.
	Sources []SourceStatus `json:"sources"`
	// Services is sorted by ID.
	Services []*Service `json:"services"`
	// Nodes is sorted by ID.
	Nodes []*Node `json:"nodes,omitempty"`
	// Certificates are sorted by source, then as the source has them: of two for one name
	// the first counts.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Feed publishes the newest snapshot; equal contents are not published again.
type Feed = feed.Feed[Snapshot]

// Service is a named thing that exists, such as a Compose service or a lone container.
type Service struct {
	// ID is unique and stable across restarts: "name@source", or the bare name where
	// instances name their service and may run on several hosts.
	ID string `json:"id"`
	// Name is what a person calls it.
	Name string `json:"name"`
	// Source is the first source, by name, that sees it.
	Source string `json:"source"`
	// Owner is the Compose project or stack of the instances, or NoOwner, where they name the service by a
	// label; empty elsewhere.
	Owner string `json:"owner,omitempty"`
	// Record is the name of the record of owners that is for those instances; empty for none, and elsewhere.
	Record string `json:"record,omitempty"`
	// Holder is the owner that has the name which the instances ask for; empty when this is it.
	Holder string `json:"holder,omitempty"`
	// Shared is true where instances of every owner may be members.
	Shared bool `json:"shared,omitempty"`
	// Labels are the service's own. Plain containers have theirs on the instances.
	Labels map[string]string `json:"labels,omitempty"`
	// Env is as that of an instance, of what its instances are to be created with.
	Env map[string]string `json:"env,omitempty"`
	// OwnLabels is true where those labels count and those of instances do not.
	OwnLabels bool `json:"ownLabels,omitempty"`
	// Posted is true of a service that was sent over HTTP: it needs no label to be served.
	Posted bool `json:"posted,omitempty"`
	// Instances is sorted by ID. It may be empty.
	Instances []*Instance `json:"instances,omitempty"`
	// Virtual are addresses that stand for all instances, such as virtual IPs of Swarm.
	// They are used only when asked for. Sorted like the addresses of an instance.
	Virtual []Address `json:"virtual,omitempty"`
	// Replicas is how many instances it wants; nil where that is not set.
	Replicas *int `json:"replicas,omitempty"`
	// Image is what its instances are to be created from, in Swarm; empty otherwise.
	Image string `json:"image,omitempty"`
	// RanLately is true while none of its instances runs, but one did a moment ago.
	RanLately bool `json:"ranLately,omitempty"`
	// Created is when it, or its oldest instance, was created; zero for unknown. It orders
	// claims that no earlier table has decided.
	Created time.Time `json:"created,omitzero"`
}

// Instance is one running (or stopped) copy of a service.
type Instance struct {
	// ID is unique within the source: the container ID, the task ID.
	ID string `json:"id"`
	// Name is what a person calls it: the container name.
	Name string `json:"name"`
	// Hostname is the name that its own system has; empty for one of the engine's making.
	Hostname string `json:"hostname,omitempty"`
	// Source is the name of the source that sees it.
	Source string `json:"source"`
	// Node is the ID of the node it runs on; empty when unknown.
	Node string `json:"node,omitempty"`
	// Image is the image reference it was created from; empty when unknown.
	Image string `json:"image,omitempty"`
	// Labels are the instance's own labels.
	Labels map[string]string `json:"labels,omitempty"`
	// Env are the variables of its environment that a dialect reads (see Variables); nil for none.
	Env map[string]string `json:"env,omitempty"`
	// State says whether it can serve.
	State State `json:"state"`
	// StateReason explains State to people, where State does not say it all.
	StateReason string `json:"stateReason,omitempty"`
	// Created is when it was created; zero when unknown.
	Created time.Time `json:"created,omitzero"`
	// Started is when it was last started; zero when unknown or never.
	Started time.Time `json:"started,omitzero"`
	// Restarts is how often its restart policy has started it again; zero when unknown.
	Restarts int `json:"restarts,omitempty"`
	// Weight is its share as the source says it (services file); zero for not said.
	Weight int `json:"weight,omitempty"`
	// Addresses are sorted by network, then by host.
	Addresses []Address `json:"addresses,omitempty"`
	// Ports are the ports it exposes or publishes, sorted by number, protocol.
	Ports []Port `json:"ports,omitempty"`
}

// State is the condition of an instance.
type State string

// The states of an instance. Only StateReady takes new requests.
const (
	StateStarting  State = "starting"  // created or running, but its health check has not passed
	StateReady     State = "ready"     // running, and healthy where a health check is declared
	StateUnhealthy State = "unhealthy" // running, and its health check says no
	StatePaused    State = "paused"    // frozen by its operator
	StateLeaving   State = "leaving"   // got a signal to stop, and still finishes what it has
	StateStopped   State = "stopped"   // not running, but not removed either
)

// Address is one way to reach an instance on a network.
type Address struct {
	// Host is an IP address, or a host name where the source only knows names.
	Host string `json:"host"`
	// Port is set when the source fixes it (services file).
	Port uint16 `json:"port,omitempty"`
	// Network is the network's name; empty for an address without one.
	Network string `json:"network,omitempty"`
	// Reach says how Fairway gets there.
	Reach Reach `json:"reach"`
	// Link is true on a network of Fairway's machine that others than containers are on, too:
	// macvlan and ipvlan. Instances on it reach each other, also with ReachNone.
	Link bool `json:"link,omitempty"`
}

// Reach is how Fairway gets to an address.
type Reach string

// The ways to reach an address, best first.
const (
	ReachFixed  Reach = "fixed"  // the source gave a complete address; it is used as it is
	ReachShared Reach = "shared" // Fairway itself is attached to this network
	ReachBridge Reach = "bridge" // Fairway runs on the instance's host, outside any container; also host networking
	ReachNone   Reach = "none"   // Fairway has no path to this network
)

// Port is a port of an instance.
type Port struct {
	// Number is the port inside the instance, 1 to 65535.
	Number uint16 `json:"number"`
	// Protocol is "tcp", "udp" or "sctp".
	Protocol string `json:"protocol"`
	// Published is where Fairway can dial the port through the host; empty for nowhere.
	Published string `json:"published,omitempty"`
	// Bound is the same as the engine says it, and may be dialled from elsewhere alone: its
	// address may be unspecified. Empty where Published says it all.
	Bound string `json:"bound,omitempty"`
}

// Node is a machine that runs instances.
type Node struct {
	// ID is unique and stable: the Swarm node ID, or the name of a plain engine's source.
	ID string `json:"id"`
	// Name is the machine's host name.
	Name string `json:"name"`
	// Source is the name of the source that sees it.
	Source string `json:"source"`
	// State is "ready" or "down", or the source's own word for anything else.
	State string `json:"state"`
	// Availability is "active", "pause" (no new instances) or "drain" (none) in Swarm.
	Availability string `json:"availability,omitempty"`
	// Address is where the machine is reached; empty when unknown.
	Address string `json:"address,omitempty"`
	// Role is "manager", "worker" or empty outside Swarm.
	Role string `json:"role,omitempty"`
	// Engine is the version of the container engine; empty when unknown.
	Engine string `json:"engine,omitempty"`
	// Labels are those of the node in Swarm; EngineLabels those of its engine.
	Labels       map[string]string `json:"labels,omitempty"`
	EngineLabels map[string]string `json:"engineLabels,omitempty"`
	// Version grows with each change of the node in Swarm; zero elsewhere.
	Version uint64 `json:"version,omitempty"`
}

// Certificate is a PEM file with a certificate, its chain and its private key.
type Certificate struct {
	// File is the path.
	File string `json:"file"`
	// Source is the name of the source that looks after it.
	Source string `json:"source"`
	// Name is the host, with "*." for a wildcard, that Fairway itself has obtained it for;
	// empty for all others.
	Name string `json:"name,omitempty"`
}

// SourceStatus says how one source is doing.
type SourceStatus struct {
	// Name is the source's name, stable across restarts.
	Name string `json:"name"`
	// Synced is true once the source has answered in this run.
	Synced bool `json:"synced"`
	// Stale is true while the newest answer was an error: what was there before is served.
	Stale bool `json:"stale,omitempty"`
	// Error is the text of that error; empty when Stale is false.
	Error string `json:"error,omitempty"`
	// Held names services that are gone, until a second answer confirms that. Sorted.
	Held []string `json:"held,omitempty"`
	// LastSuccess is when it last answered without error; no part of comparisons.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// Services is how many services of the source are in the snapshot.
	Services int `json:"services"`
}

// Answer is what a source says at one moment: everything it sees, or the error that kept it
// from seeing. The receiver owns the slices; the values behind the pointers are never
// written again. A source reuses the pointer of a service that did not change.
type Answer struct {
	// Services are in any order. The collector merges services of equal ID.
	Services []*Service
	// Nodes is every machine the source sees, in any order.
	Nodes []*Node
	// Certificates are sound, and in the order in which they count.
	Certificates []Certificate
	// Certain: what is missing was removed on purpose, which needs no confirmation.
	Certain bool
	// Err is why the source could not see. When set, the previous answer stays.
	Err error
}
