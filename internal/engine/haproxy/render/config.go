// Package render writes the HAProxy configuration that means what a route.Table
// means. It is pure: it reads no file, opens no socket and looks at no clock, so
// that the same arguments always give the same configuration.
//
// What can be changed while HAProxy runs (servers, entries of maps, certificates) is
// listed in Config piece by piece, and stands in the files as well. The rest is the
// Structure: between configurations of equal structure no reload is needed. Render keeps
// that of the configuration before where it can: services get spare sections that are
// there already, and what is not used any more stays until the next reload.
package render

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// Names of the files below Options.Dir.
const (
	// FileConfig is the configuration itself.
	FileConfig = "haproxy.cfg"
	// DirMaps and DirCerts hold maps and joined key pairs.
	DirMaps  = "maps"
	DirCerts = "certs"
)

// Options are the surroundings of a configuration. Zero limits mean the default
// that is named with each; they are those of the embedded engine.
type Options struct {
	// Dir is the directory of the files, as an absolute path. Required.
	Dir string
	// AdminSocket is the path of the runtime socket; empty: admin.sock in Dir.
	AdminSocket string
	// LogSocket is the path of a stream socket that takes lines about requests and
	// connections (see log.go); empty: none are written.
	LogSocket string
	// LogKey begins each line, so that no other program can write lines: letters and
	// digits that cannot be guessed; empty for none.
	LogKey string
	// AccessLog has every request reported, also where there are many; see writeSampling.
	AccessLog bool
	// Bind says where a listener binds instead of the table's address, by its name.
	Bind map[string]netip.AddrPort
	// Leave names the listeners that are left out.
	Leave map[string]bool
	// Resting are spare sections that only the backend they had may get: its requests
	// may still be under way in them. A section that a service gives back rests anyway.
	Resting map[string]bool
	// Waiting are endpoints that may not be served yet, ready as they are in the table.
	Waiting map[EndpointID]bool
	// Addresses are those of endpoints with names; one whose name is missing is left out.
	Addresses map[string]netip.Addr
	// Authorities are the files that HAProxy reads in place of those with authorities of
	// clients, by the names in the table.
	Authorities map[string]string
	// UserFile returns the users in the file that a filter names; false says that it
	// cannot be read, and its routes answer 503. Nil reads no file.
	UserFile func(*route.BasicAuth) ([]route.User, bool)

	// Spares is how many spare sections the commonest profile has after a reload (50 for
	// zero, none at all below); others get a tenth, and at least a tenth of what is in use.
	Spares int
	// HardStopAfter is how long an old worker may take to finish after a reload (30 m).
	HardStopAfter time.Duration
	// Threads is the number of threads of a worker, MaxConnections how many connections
	// it takes; zero is HAProxy's choice.
	Threads, MaxConnections int

	// Pages are the operator's pages of errors, by set.
	Pages map[string]errorpage.Set
	// Extra is what the operator adds.
	Extra Extra

	// HeaderTimeout bounds the TLS handshake and the reading of a request's header
	// (10 s); IdleTimeout the pause between two requests (120 s); ClientTimeout the
	// silence of a client that sends a body, where the route says nothing, or reads an
	// answer (60 s).
	HeaderTimeout, IdleTimeout, ClientTimeout time.Duration
	// DialTimeout bounds connecting to an endpoint (3 s), ResponseTimeout the wait
	// for its response header where the route says nothing (60 s).
	DialTimeout, ResponseTimeout time.Duration
	// IPv6 has listeners on all addresses bind those of IPv6, too.
	IPv6 bool
	// TunnelTimeout bounds the silence on connections that are passed through (1 h).
	TunnelTimeout time.Duration
}

// Limits that have no option, those of the embedded engine.
const (
	maxHeaders        = 200             // fields of a request; all together must fit into HAProxy's buffer, 15 KiB
	serverNameTimeout = 5 * time.Second // for the server name of a TLS client on a TCP listener
	endpointIdle      = 4 * time.Second // of an unused connection
)

// EndpointID names an endpoint of the table.
type EndpointID struct{ Backend, Endpoint string }

// Config is a whole configuration. Never write to one: later configurations share
// parts of it. Written as JSON and read back it still serves as the previous one of
// Render, without Text and Files.
type Config struct {
	// Text is the content of FileConfig.
	Text []byte `json:"-"`
	// Files do not change while HAProxy runs; by their path below Options.Dir.
	Files map[string][]byte `json:"-"`
	// Maps are sorted by name. All of them are in every configuration.
	Maps []Map `json:"-"`
	// CertLists are sorted by listener, one for each that terminates TLS.
	CertLists []CertList `json:"-"`
	// Sections are the backends of HAProxy that servers may be in, sorted by name.
	Sections []Section `json:"sections"`
	// Blocks are the pieces of text that Structure is the digest of, in their order.
	Blocks []Block `json:"blocks"`
	// Structure is what cannot be changed without a reload.
	Structure Structure `json:"structure"`
	// Marker is that of socket.MarkerVariable: the hashes of Structure and Text, with a dot.
	Marker string `json:"marker"`
	// Features are what the rules for requests look at.
	Features Features `json:"features"`
}

// Block is a piece of the text that cannot be changed without a reload.
type Block struct {
	// Name says in words what it is, as in Part.
	Name string `json:"name"`
	// Kept names the section or profile of a text that may stay after its use.
	Kept string `json:"kept,omitempty"`
	// Text has marks around what is secret; see quote.Secret.
	Text string `json:"text"`
	// Each is in all sections of a profile, as it cannot be inherited.
	Each string `json:"each,omitempty"`
}

// Features are what the rules for requests look at. More than needed costs time alone.
type Features struct {
	// Priorities is true when a match for a less specific host can win.
	Priorities bool `json:"priorities,omitempty"`
	// Deep are the numbers of labels of deep wildcards, highest first.
	Deep []int `json:"deep,omitempty"`
}

// Map is a map of HAProxy: a file, and what `show map` lists.
type Map struct {
	// Name is unique; Path, which is absolute, is also the map's name at runtime.
	Name, Path string
	// Entries are sorted by key; a key is there once. Keys and values have no
	// blanks and no control characters, and keys do not begin with "#".
	Entries []MapEntry
}

// MapEntry is a line of a map.
type MapEntry = socket.Entry

// CertList is the crt-list of a listener.
type CertList struct {
	Listener string
	// Path is the absolute path of the list, which is its name at runtime, too.
	Path string
	// Fixed lists have lines with options, for hosts that demand something: they change with
	// a reload alone.
	Fixed bool
	// Certificates are in the order of the table: the first that can be read
	// answers clients that send no name.
	Certificates []Certificate
}

// Paths are the paths in the list, each once.
func (l CertList) Paths() (paths []string) {
	for _, c := range l.Certificates {
		if !slices.Contains(paths, c.Path) {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// Certificate is a key pair that HAProxy needs in one file.
type Certificate struct {
	// Path is the absolute path of the joined file: certificate and chain, then the
	// key. It depends on the paths of the pair alone, so that renewing keeps it.
	Path string
	// Pair are the files to join.
	Pair route.Certificate
}

// Structure is what cannot be changed without a reload, in parts sorted by name.
type Structure struct {
	Parts []Part `json:"parts"`
}

// Part is a piece of the configuration's text.
type Part struct {
	// Name says in words what it is: "listener https", "rules of route shop/api".
	Name string `json:"name"`
	// Digest identifies the text.
	Digest string `json:"digest"`
}

// Hash identifies the structure: 16 hexadecimal digits.
func (s Structure) Hash() string {
	var all strings.Builder
	for _, p := range s.Parts {
		all.WriteString(p.Name + "\x00" + p.Digest + "\x00")
	}
	return hashed(all.String(), 16)
}

// Changes says what is different from the structure before, sorted: "listener https is
// new". None: no reload is needed.
func (s Structure) Changes(before Structure) []string {
	gone := make(map[string]string, len(before.Parts))
	for _, p := range before.Parts {
		gone[p.Name] = p.Digest
	}
	var changes []string
	for _, p := range s.Parts {
		switch digest, known := gone[p.Name]; {
		case !known:
			changes = append(changes, p.Name+" is new")
		case digest != p.Digest:
			changes = append(changes, p.Name+" has changed")
		}
		delete(gone, p.Name)
	}
	for name := range gone {
		changes = append(changes, name+" is gone")
	}
	slices.Sort(changes)
	return changes
}

// Section is a backend section of HAProxy. A spare one has no Backend.
type Section struct {
	// Name is HAProxy's name for it. It never comes from labels.
	Name string `json:"name"`
	// Profile names the settings; services of one profile can use each other's
	// sections. Empty for a dedicated section, which has the rules of one route.
	Profile string `json:"profile,omitempty"`
	// Backend is the ID of the backend in the table, Service that of the service whose
	// instances are in it. Several sections may serve the same backend.
	Backend string `json:"backend,omitempty"`
	Service string `json:"service,omitempty"`
	// Route is the ID of the route of a dedicated section.
	Route string `json:"route,omitempty"`
	// Used is true when its counters do not begin at zero: it has served a backend.
	Used bool `json:"used,omitempty"`
	// Former is the ID of the backend that has given a spare section back.
	Former string `json:"former,omitempty"`
	// Servers are in the order of the endpoints.
	Servers []Server `json:"servers,omitempty"`
}

// Server is a server of HAProxy.
type Server struct {
	// Name follows from the endpoint's ID and address: one that moves is another server.
	Name string `json:"name"`
	// Endpoint is the ID of the endpoint, Address where it listens.
	Endpoint string         `json:"endpoint"`
	Address  netip.AddrPort `json:"address"`
	// Weight is 0 to 256, as HAProxy has it.
	Weight int `json:"weight"`
	// State is the one wanted. In the text, what is not ready is disabled.
	State route.EndpointState `json:"state"`
	// Options are the rest of `add server SECTION/NAME ADDRESS …`, weight left out, the
	// same as in the text. A server whose options differ must be removed and added.
	Options string `json:"options,omitempty"`
	// Checked is true when the options have an active check, which must be enabled
	// (`enable health`) after the server was added at runtime.
	Checked bool `json:"checked,omitempty"`
	// Health is the check of the backend; nil for none.
	Health *route.Health `json:"-"`
}

// Section returns the section of that name, or nil.
func (c *Config) Section(name string) *Section {
	i, ok := slices.BinarySearchFunc(c.Sections, name, func(s Section, name string) int { return strings.Compare(s.Name, name) })
	if !ok {
		return nil
	}
	return &c.Sections[i]
}
