package socket

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// State is what a server may get, as `set server` says it.
type State string

// The states of servers.
const (
	StateReady State = "ready"
	StateDrain State = "drain" // nothing new
	StateMaint State = "maint" // nothing at all, and no checks
)

const maxWeight = 256

// AddServer adds a server, in maintenance, to a backend. It inherits nothing from the
// configuration: options are all there are, each word for itself.
func AddServer(backend, name string, address netip.AddrPort, options ...string) (Command, error) {
	if !address.IsValid() || address.Port() == 0 || address.Addr().Zone() != "" {
		return Command{}, fmt.Errorf("socket: server %s/%s: %s is not an address with a port", backend, name, address)
	}
	return ServerCommand("add server", backend, name, append([]string{address.String()}, options...)...)
}

// The beginnings of commands that need nothing but a server.
const (
	EnableServer = "enable server" // takes it out of maintenance
	EnableHealth = "enable health" // begins the active checks of one that was added with `check`
	// DelServer is refused until it is in maintenance and has no connections.
	DelServer        = "del server"
	ShutdownSessions = "shutdown sessions server" // breaks off everything that runs on it
)

// SetServerState changes what a server may get.
func SetServerState(backend, name string, s State) (Command, error) {
	return ServerCommand("set server", backend, name, "state", string(s))
}

// SetServerWeight gives a server a weight from 0 to 256; zero takes sticky clients alone.
func SetServerWeight(backend, name string, weight int) (Command, error) {
	if weight < 0 || weight > maxWeight {
		return Command{}, fmt.Errorf("socket: server %s/%s: weight %d is not in 0 to %d", backend, name, weight, maxWeight)
	}
	return ServerCommand("set server", backend, name, "weight", strconv.Itoa(weight))
}

// ServerCommand puts a server, and more words, behind those that begin a command.
// HAProxy's names have few characters, and "#" at the beginning of one would be
// taken for a number.
func ServerCommand(begin, backend, name string, more ...string) (Command, error) {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-"
	for _, n := range []string{backend, name} {
		if n == "" || strings.Trim(n, plain) != "" {
			return Command{}, fmt.Errorf("socket: %q is not a name of HAProxy's", n)
		}
	}
	return Cmd(slices.Concat(strings.Fields(begin), []string{backend + "/" + name}, more)...)
}

// Server is one server of `show servers state`.
type Server struct {
	Backend string
	Name    string
	Address netip.AddrPort
	// Weight is the one in force.
	Weight int
	// State is what it may get by an operator's will, regardless of checks.
	State State
	// Checked is true of a server whose active checks run.
	Checked bool
}

// Bits of srv_admin_state and srv_check_state.
const (
	adminMaint   = 0x01 | 0x02 | 0x20 | 0x40 // forced, inherited, by resolution; 0x04 only says what the file said
	adminDrain   = 0x08 | 0x10               // forced, inherited
	checkEnabled = 0x04
)

// Servers are the servers of some backends, or of all when none is named.
func (s *Session) Servers(ctx context.Context, backends ...string) ([]Server, error) {
	commands := []Command{{line: "show servers state"}}
	for i, backend := range backends {
		c, err := Cmd("show", "servers", "state", backend)
		if err != nil {
			return nil, err
		}
		commands = append(commands[:i], c)
	}
	answers, err := s.DoAll(ctx, commands)
	if err != nil {
		return nil, err
	}
	var all []Server
	for _, answer := range answers {
		servers, err := parseServers(answer)
		if err != nil {
			return nil, err
		}
		all = append(all, servers...)
	}
	return all, nil
}

// parseServers takes the answer to `show servers state`, version 1, apart.
func parseServers(answer string) ([]Server, error) {
	lines := strings.Split(strings.Trim(answer, "\n"), "\n")
	if len(lines) < 2 || lines[0] != "1" || !strings.HasPrefix(lines[1], "# ") {
		return nil, errors.New("haproxy: show servers state: not the form of version 1")
	}
	columns := map[string]int{}
	for i, name := range strings.Fields(lines[1][2:]) {
		columns[name] = i + 1
	}
	servers := make([]Server, 0, len(lines)-2)
	for _, line := range lines[2:] {
		if line == "" {
			continue
		}
		s, err := parseServer(columns, strings.Split(line, " "))
		if err != nil {
			return nil, fmt.Errorf("haproxy: show servers state: %q: %w", line, err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// parseServer reads one line. columns has the places of the fields, from 1.
func parseServer(columns map[string]int, fields []string) (Server, error) {
	var faults []error
	text := func(column string) string {
		if place := columns[column]; place > 0 && place <= len(fields) {
			return fields[place-1]
		}
		return ""
	}
	number := func(column string) int {
		n, err := strconv.Atoi(text(column))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", column, err))
		}
		return n
	}
	s := Server{
		Backend: text("be_name"), Name: text("srv_name"), Weight: number("srv_uweight"), State: StateReady,
		Checked: number("srv_check_state")&checkEnabled != 0,
	}
	if s.Backend == "" || s.Name == "" {
		faults = append(faults, errors.New("no name"))
	}
	port := number("srv_port")
	if addr, err := netip.ParseAddr(text("srv_addr")); err == nil && port >= 0 && port <= 65535 {
		s.Address = netip.AddrPortFrom(addr, uint16(port)) //nolint:gosec // checked above
	}
	switch admin := number("srv_admin_state"); {
	case admin&adminMaint != 0:
		s.State = StateMaint
	case admin&adminDrain != 0:
		s.State = StateDrain
	}
	return s, errors.Join(faults...)
}
