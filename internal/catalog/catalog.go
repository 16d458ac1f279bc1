// Package catalog holds what exists: the services, instances and nodes that the
// sources see, as one immutable Snapshot.
//
// The catalogue carries facts, never policy. Which label means what is decided
// in package compile; which address of an instance is dialled is decided there
// too, from the facts recorded here.
package catalog

import (
	"time"

	"fairway/internal/feed"
)

// Snapshot is everything that exists at one moment. It is immutable once it has
// been published: neither it nor anything reachable from it is written again.
// Services that did not change between two snapshots are the same pointer, so a
// consumer may compare pointers to find out what it can keep.
type Snapshot struct {
	// Revision only grows within one run of Fairway. Equal contents never get a
	// new revision. Zero means "no snapshot yet".
	Revision uint64 `json:"revision"`
	// Taken is the wall-clock time of the newest answer in the snapshot. It is
	// for people; nothing is decided by it.
	Taken time.Time `json:"taken"`
	// Restored is true while every answer in the snapshot still comes from the
	// last run's state directory, and false from the first live answer on.
	Restored bool `json:"restored,omitempty"`
	// Sources is sorted by name; one entry per configured source, whether it
	// has answered or not.
	Sources []SourceStatus `json:"sources"`
	// Services is sorted by ID.
	Services []*Service `json:"services"`
	// Nodes is sorted by ID.
	Nodes []*Node `json:"nodes,omitempty"`
	// Certificates are the files with certificates that sources look after, by
	// name of the source, then in the source's own order: of two for one name the
	// first counts.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Feed hands out the newest snapshot. Revisions grow, and equal contents are not
// published again.
type Feed = feed.Feed[Snapshot]

// Service is a named thing that exists: a Compose service, a Swarm service, a
// lone container, an entry of a services file.
type Service struct {
	// ID is unique in the snapshot and stable across restarts: "name@source",
	// or the bare name for instances that name their service explicitly and may
	// therefore run on several hosts.
	ID string `json:"id"`
	// Name is what a person calls it.
	Name string `json:"name"`
	// Source is the name of the source that sees it; the first one by name when
	// several do.
	Source string `json:"source"`
	// Labels are the labels of the service itself (Swarm, services file). Plain
	// containers have none here: their labels are on the instances.
	Labels map[string]string `json:"labels,omitempty"`
	// OwnLabels is true where the labels of the service count and those of its
	// instances do not: in Swarm, in a services file, of a service sent over HTTP.
	OwnLabels bool `json:"ownLabels,omitempty"`
	// Posted is true of a service that was sent over HTTP: that alone asks for it to be
	// served, where others need a label.
	Posted bool `json:"posted,omitempty"`
	// Instances is sorted by ID. It may be empty: a service can exist without a
	// running copy.
	Instances []*Instance `json:"instances,omitempty"`
	// Virtual are addresses that stand for all instances, such as the virtual IPs of
	// a Swarm service; the network chooses the instance behind one. They are used
	// only when asked for. Sorted like the addresses of an instance.
	Virtual []Address `json:"virtual,omitempty"`
	// Replicas is how many instances it wants; nil where that is not set, as
	// for a global service of a Swarm.
	Replicas *int `json:"replicas,omitempty"`
	// Image is the image reference that its instances are to be created from,
	// where that is a fact of the service (Swarm); empty otherwise.
	Image string `json:"image,omitempty"`
	// RanLately is true while all its instances are stopped, or there are none, but
	// one ran a moment ago: it may be on its way back.
	RanLately bool `json:"ranLately,omitempty"`
	// Created is when the service, or its oldest instance, was created. It
	// orders claims that no earlier table has decided. Zero means unknown.
	Created time.Time `json:"created,omitzero"`
}

// Instance is one running (or stopped) copy of a service.
type Instance struct {
	// ID is unique within the source: the container ID, the task ID.
	ID string `json:"id"`
	// Name is what a person calls it: the container name.
	Name string `json:"name"`
	// Source is the name of the source that sees it.
	Source string `json:"source"`
	// Node is the ID of the node it runs on; empty when unknown.
	Node string `json:"node,omitempty"`
	// Image is the image reference it was created from; empty when unknown.
	Image string `json:"image,omitempty"`
	// Labels are the instance's own labels.
	Labels map[string]string `json:"labels,omitempty"`
	// State says whether it can serve.
	State State `json:"state"`
	// StateReason is a short text for people that explains State, such as
	// "health check: starting"; empty when State says it all.
	StateReason string `json:"stateReason,omitempty"`
	// Created is when it was created; zero when unknown.
	Created time.Time `json:"created,omitzero"`
	// Started is when it was last started; zero when unknown or never.
	Started time.Time `json:"started,omitzero"`
	// Weight is its share relative to the others when the source says so
	// (services file); zero means "not said".
	Weight int `json:"weight,omitempty"`
	// Addresses are the addresses it has, sorted by network then host; which of
	// them Fairway can reach is part of each.
	Addresses []Address `json:"addresses,omitempty"`
	// Ports are the ports it exposes or publishes, sorted by number, protocol.
	Ports []Port `json:"ports,omitempty"`
}

// State is the condition of an instance.
type State string

// The states of an instance. Only StateReady takes new requests.
const (
	// StateStarting: created or running, but its health check has not passed.
	StateStarting State = "starting"
	// StateReady: running, and healthy where a health check is declared.
	StateReady State = "ready"
	// StateUnhealthy: running, and its health check says no.
	StateUnhealthy State = "unhealthy"
	// StatePaused: frozen by its operator.
	StatePaused State = "paused"
	// StateLeaving: got a signal to stop and still runs; it finishes what it has and
	// gets nothing new.
	StateLeaving State = "leaving"
	// StateStopped: not running, but not removed either.
	StateStopped State = "stopped"
)

// Address is one way to reach an instance on a network.
type Address struct {
	// Host is an IP address, or a host name where the source only knows names.
	Host string `json:"host"`
	// Port is set when the source fixes it (services file); zero means that the
	// port is chosen from labels and exposed ports.
	Port uint16 `json:"port,omitempty"`
	// Network is the network's name; empty for an address without one.
	Network string `json:"network,omitempty"`
	// Reach says how Fairway gets there.
	Reach Reach `json:"reach"`
}

// Reach is how Fairway gets to an address.
type Reach string

// The ways to reach an address, best first.
const (
	// ReachFixed: the source gave a complete address; it is used as it is.
	ReachFixed Reach = "fixed"
	// ReachShared: Fairway itself is attached to this network.
	ReachShared Reach = "shared"
	// ReachBridge: Fairway runs on the instance's host, outside any container,
	// and reaches the host's own bridge networks; also host networking.
	ReachBridge Reach = "bridge"
	// ReachNone: Fairway has no path to this network.
	ReachNone Reach = "none"
)

// Port is a port of an instance.
type Port struct {
	// Number is the port inside the instance, 1 to 65535.
	Number uint16 `json:"number"`
	// Protocol is "tcp", "udp" or "sctp".
	Protocol string `json:"protocol"`
	// Published is the "host:port" under which Fairway can dial the port through
	// the instance's host; empty when it is not published or not reachable.
	Published string `json:"published,omitempty"`
}

// Node is a machine that runs instances.
type Node struct {
	// ID is unique in the snapshot and stable: the Swarm node ID, or the source
	// name for a plain engine.
	ID string `json:"id"`
	// Name is the machine's host name.
	Name string `json:"name"`
	// Source is the name of the source that sees it.
	Source string `json:"source"`
	// State is "ready" or "down", or the source's own word for anything else.
	State string `json:"state"`
	// Availability is what its operator wants of it in Swarm: "active", "pause"
	// (no new instances) or "drain" (no instances); empty outside Swarm.
	Availability string `json:"availability,omitempty"`
	// Address is where the machine is reached; empty when unknown.
	Address string `json:"address,omitempty"`
	// Role is "manager", "worker" or empty outside Swarm.
	Role string `json:"role,omitempty"`
	// Engine is the version of the container engine; empty when unknown.
	Engine string `json:"engine,omitempty"`
	// Labels are the labels that its operator gave it in Swarm; EngineLabels
	// those of its container engine.
	Labels       map[string]string `json:"labels,omitempty"`
	EngineLabels map[string]string `json:"engineLabels,omitempty"`
	// Version grows with each change of the node in Swarm; zero elsewhere.
	Version uint64 `json:"version,omitempty"`
}

// Certificate is a file with a certificate, its chain and its private key in PEM.
// The engine that serves it reads the file; the catalogue only knows the path.
type Certificate struct {
	// File is the path.
	File string `json:"file"`
	// Source is the name of the source that looks after it.
	Source string `json:"source"`
}

// SourceStatus says how one source is doing.
type SourceStatus struct {
	// Name is the source's name, stable across restarts.
	Name string `json:"name"`
	// Synced is true once the source has answered in this run.
	Synced bool `json:"synced"`
	// Stale is true while the newest answer was an error: what the source said
	// before is still served, frozen.
	Stale bool `json:"stale,omitempty"`
	// Error is the text of that error; empty when Stale is false.
	Error string `json:"error,omitempty"`
	// Held names the services that the newest answer no longer had, and that
	// are kept until a second answer confirms the removal. Sorted.
	Held []string `json:"held,omitempty"`
	// LastSuccess is when the source last answered without error; zero when it
	// never has. It takes no part in the comparison of snapshots.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// Services is how many services of the source are in the snapshot.
	Services int `json:"services"`
}

// Answer is what a source says at one moment: everything it sees, or the error
// that kept it from seeing. There is no partial answer. The receiver owns the
// slices; the values behind the pointers are shared and never written again. A
// source reuses the pointer of a service that did not change since its previous
// answer, so that consumers can compare pointers.
type Answer struct {
	// Services is everything the source sees, in any order. Instances of one
	// service may be spread over the answers of several sources: the collector
	// merges services of equal ID.
	Services []*Service
	// Nodes is every machine the source sees, in any order.
	Nodes []*Node
	// Certificates are the files with certificates that the source looks after,
	// in the order in which they count. Each has been read and is sound.
	Certificates []Certificate
	// Certain is set by a source that knows of each removal: a service that
	// is missing was removed on purpose, so its removal waits for no confirmation.
	Certain bool
	// Err is the reason why the source could not see. When set, Services and
	// Nodes are ignored and the previous answer stays.
	Err error
}
