package socket

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Entry is one entry of a map.
type Entry struct {
	Key   string
	Value string
}

// check refuses entries that a map file or a payload could not carry: there is no
// quoting in either.
func (e Entry) check() error {
	switch {
	case e.Key == "" || e.Value == "":
		return errors.New("an empty key or value")
	case strings.ContainsAny(e.Key, " \t\r\n\x00") || e.Key[0] == '#':
		return fmt.Errorf("key %q has a blank, a line break or NUL, or begins a comment", e.Key)
	case strings.ContainsAny(e.Value, "\r\n\x00") || strings.Trim(e.Value, " \t") != e.Value:
		return fmt.Errorf("value %q has a line break or NUL, or blanks around it", e.Value)
	}
	return nil
}

// AddMap adds entries to a map, as many at once as fit. HAProxy keeps an entry
// for each time a key is added: keys must be new.
func AddMap(file string, entries []Entry) ([]Command, error) {
	return addMap([]string{"add", "map", file}, entries)
}

func addMap(words []string, entries []Entry) ([]Command, error) {
	head, err := Cmd(words...)
	if err != nil {
		return nil, err
	}
	var (
		commands []Command
		lines    []string
		size     int
	)
	flush := func() error {
		if len(lines) == 0 {
			return nil
		}
		c, err := head.withPayload(lines)
		commands = append(commands, c)
		lines, size = nil, 0
		return err
	}
	for _, e := range entries {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("socket: map %s: %w", words[len(words)-1], err)
		}
		line := e.Key + " " + e.Value
		if size+len(line)+1 > MaxPayload {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		lines = append(lines, line)
		size += len(line) + 1
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return commands, nil
}

// SetMap gives every entry of a map with the key another value.
func SetMap(file, key, value string) (Command, error) {
	if err := (Entry{key, value}).check(); err != nil {
		return Command{}, fmt.Errorf("socket: map %s: %w", file, err)
	}
	c, err := Cmd("set", "map", file, key, value)
	c.public = "set map " + file + " " + key + " …" // the value may be the hash of a password
	return c, err
}

// DelMap takes every entry with the key out of a map.
func DelMap(file, key string) (Command, error) {
	if err := (Entry{key, "-"}).check(); err != nil {
		return Command{}, fmt.Errorf("socket: map %s: %w", file, err)
	}
	return Cmd("del", "map", file, key)
}

// ReplaceMap puts entries in place of everything in a map, at one moment: no
// request sees a part of them.
func (s *Session) ReplaceMap(ctx context.Context, file string, entries []Entry) error {
	prepare, err := Cmd("prepare", "map", file)
	if err != nil {
		return err
	}
	answer, err := s.Do(ctx, prepare)
	if err != nil {
		return err
	}
	version, ok := strings.CutPrefix(answer, "New version created: ")
	if _, err := strconv.ParseUint(version, 10, 64); !ok || err != nil {
		return fmt.Errorf("haproxy: prepare map: unexpected answer %q", oneLine(answer))
	}
	commands, err := addMap([]string{"add", "map", "@" + version, file}, entries)
	if err != nil {
		return err
	}
	commit, err := Cmd("commit", "map", "@"+version, file)
	if err != nil {
		return err
	}
	for _, c := range append(commands, commit) {
		if _, err := s.Do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// State is what a server may get, as `set server` says it.
type State string

// The states of servers.
const (
	StateReady State = "ready"
	StateDrain State = "drain" // nothing new
	StateMaint State = "maint" // nothing at all, and no checks
)

// MaxWeight is the greatest weight of a server.
const MaxWeight = 256

// AddServer adds a server to a backend. It is in maintenance until it is enabled.
// Nothing is inherited from the configuration: options are all there are, each
// word for itself.
func AddServer(backend, name string, address netip.AddrPort, options ...string) (Command, error) {
	if !address.IsValid() || address.Port() == 0 || address.Addr().Zone() != "" {
		return Command{}, fmt.Errorf("socket: server %s/%s: %s is not an address with a port", backend, name, address)
	}
	id, err := serverID(backend, name)
	if err != nil {
		return Command{}, err
	}
	return Cmd(append([]string{"add", "server", id, address.String()}, options...)...)
}

// EnableServer takes a server out of maintenance.
func EnableServer(backend, name string) (Command, error) {
	return serverCommand(backend, name, "enable", "server")
}

// EnableHealth begins the active checks of a server that was added with `check`.
func EnableHealth(backend, name string) (Command, error) {
	return serverCommand(backend, name, "enable", "health")
}

// DelServer deletes a server, which must be in maintenance and without
// connections; HAProxy refuses otherwise, and it is to be tried again.
func DelServer(backend, name string) (Command, error) {
	return serverCommand(backend, name, "del", "server")
}

// ShutdownSessions breaks off everything that runs on a server.
func ShutdownSessions(backend, name string) (Command, error) {
	id, err := serverID(backend, name)
	if err != nil {
		return Command{}, err
	}
	return Cmd("shutdown", "sessions", "server", id)
}

// SetServerState changes what a server may get.
func SetServerState(backend, name string, s State) (Command, error) {
	return serverCommand(backend, name, "set", "server", "state", string(s))
}

// SetServerWeight gives a server a weight from 0 to MaxWeight. Zero takes nothing
// new but sticky clients.
func SetServerWeight(backend, name string, weight int) (Command, error) {
	if weight < 0 || weight > MaxWeight {
		return Command{}, fmt.Errorf("socket: server %s/%s: weight %d is not in 0 to %d", backend, name, weight, MaxWeight)
	}
	return serverCommand(backend, name, "set", "server", "weight", strconv.Itoa(weight))
}

// serverCommand puts the server behind the two words that begin a command.
func serverCommand(backend, name, verb, object string, more ...string) (Command, error) {
	id, err := serverID(backend, name)
	if err != nil {
		return Command{}, err
	}
	return Cmd(append([]string{verb, object, id}, more...)...)
}

// serverID is backend/name. HAProxy's names have few characters, and "#" at the
// beginning of one would be taken for a number.
func serverID(backend, name string) (string, error) {
	for _, n := range []string{backend, name} {
		if n == "" || strings.IndexFunc(n, func(r rune) bool { return !nameRune(r) }) >= 0 {
			return "", fmt.Errorf("socket: %q is not a name of HAProxy's", n)
		}
	}
	return backend + "/" + name, nil
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:-", r)
}

// SetVar sets a variable of the process, one whose name begins with "proc.", to a
// string. HAProxy 2.6 wants experimental mode for it, which the session is put
// into for this command.
func (s *Session) SetVar(ctx context.Context, name, value string) error {
	if !strings.HasPrefix(name, "proc.") || strings.ContainsAny(value, "(),") {
		return fmt.Errorf("socket: %s=%q is not a variable that can be set", name, value)
	}
	set, err := Cmd("set", "var", name, "str("+value+")")
	if err != nil {
		return err
	}
	for _, c := range []Command{{line: "experimental-mode on"}, set, {line: "experimental-mode off"}} {
		if _, err := s.Do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// MarkerVariable is the variable in which a configuration carries its marker, so that a
// worker shows which one it runs:
//
//	set-var proc.fairway str(VALUE)
const MarkerVariable = "proc.fairway"

// GetVar reads a variable of the process that holds a string.
func (s *Session) GetVar(ctx context.Context, name string) (value string, ok bool, err error) {
	get, err := Cmd("get", "var", name)
	if err != nil {
		return "", false, err
	}
	answer, err := s.Do(ctx, get)
	if Refused(err, "not found") {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	value, ok = ParseVar(name, answer)
	return value, ok, nil
}

// ParseVar takes the string out of the answer to `get var`; false when there is
// no such variable or it is no string.
func ParseVar(name, answer string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimRight(answer, "\n"), name+": type=str value=<")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ">")
}
