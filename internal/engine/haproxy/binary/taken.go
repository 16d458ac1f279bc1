package binary

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// TakenOptions say what is asked of Taken.
type TakenOptions struct {
	// Wanted is what is to be bound.
	Wanted []Bind
	// Held is what the running HAProxy binds already, from its configuration.
	Held []Bind
	// Pids are the processes of the running HAProxy, the master first.
	Pids []int
}

// Conflict is an address that HAProxy would not be able to bind.
type Conflict struct {
	Bind Bind
	// Reason says who has it, as far as can be seen, or what else hinders.
	Reason string
}

// String names the address, the line that wants it and the reason.
func (c Conflict) String() string {
	return fmt.Sprintf("%s (line %d, %s): %s", c.Bind, c.Bind.Line, c.Bind.Section, c.Reason)
}

// Taken reports which of the wanted addresses HAProxy could not bind now, in the network
// namespace of this process, but for those it holds. HAProxy itself must not find out:
// with one port taken it stops listening on every other for two seconds.
func Taken(ctx context.Context, o TakenOptions) ([]Conflict, error) {
	var conflicts []Conflict
	tried := map[string]bool{}
	for _, b := range o.Wanted {
		key := b.Network + b.String()
		if tried[key] || b.Elsewhere != "" || slices.ContainsFunc(o.Held, b.same) {
			continue
		}
		tried[key] = true
		if err := ctx.Err(); err != nil {
			return conflicts, err
		}
		if reason := o.hinders(b, b.try(ctx)); reason != "" {
			conflicts = append(conflicts, Conflict{Bind: b, Reason: reason})
		}
	}
	return conflicts, ctx.Err()
}

func (b Bind) same(other Bind) bool {
	return b.Network == other.Network && b.Address == other.Address && b.Path == other.Path && other.Elsewhere == ""
}

// Overlaps reports whether sockets of two binds cannot both listen.
func (b Bind) Overlaps(other Bind) bool {
	if b.Network != other.Network || b.Address.Port() != other.Address.Port() {
		return false
	}
	one, two := b.Address.Addr().Unmap(), other.Address.Addr().Unmap()
	if one.Is4() == two.Is4() {
		return one == two || one.IsUnspecified() || two.IsUnspecified()
	}
	// Between the families only :: can be in the way of IPv4.
	return one.Is6() && one.IsUnspecified() && !b.Only6 || two.Is6() && two.IsUnspecified() && !other.Only6
}

func (b Bind) try(ctx context.Context) error {
	if b.Network == "unix" {
		// HAProxy puts its socket in place of what is there; only the directory must be.
		info, err := os.Stat(filepath.Dir(b.Path))
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		return err
	}
	network := b.Network
	if b.Address.Addr().Is4() {
		network += "4"
	} else if b.Only6 || !b.Address.Addr().IsUnspecified() {
		network += "6"
	}
	if b.Network == "udp" {
		conn, err := (&net.ListenConfig{}).ListenPacket(ctx, network, b.Address.String())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, b.Address.String())
	if err != nil {
		return err
	}
	return l.Close()
}

// hinders says why HAProxy could not bind an address; empty when it could.
func (o TakenOptions) hinders(b Bind, err error) string {
	switch {
	case err == nil:
		return ""
	case b.Network == "unix":
		return fmt.Sprintf("the directory %s: %v", filepath.Dir(b.Path), cause(err))
	case errors.Is(err, syscall.EADDRINUSE):
		return o.holder(b)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		if b.Free {
			return ""
		}
		return "this machine does not have the address"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		// Whether a HAProxy that is yet to be started may, it says itself; then
		// nothing is lost. One that runs must not try in vain.
		if len(o.Pids) == 0 || mayBindLow(o.Pids[0]) {
			return ""
		}
		return "HAProxy may not bind it: ports below 1024 need the capability NET_BIND_SERVICE"
	default:
		// As no IPv6 on this machine.
		return cause(err).Error()
	}
}

func cause(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// holder says who is in the way of a bind; empty when it is HAProxy itself.
func (o TakenOptions) holder(b Bind) string {
	own, complete := map[string]bool{}, true
	for _, pid := range o.Pids {
		inodes, err := sockets(pid)
		complete = complete && err == nil
		for _, inode := range inodes {
			own[inode] = true
		}
	}
	var some bool
	var others []Socket
	for _, l := range listening(b.Network) {
		if l.Overlaps(b) {
			some = true
			if !own[l.Inode] {
				others = append(others, l)
			}
		}
	}
	// What HAProxy holds cannot always be seen; then its configuration decides.
	if some && len(others) == 0 || !complete && slices.ContainsFunc(o.Held, b.Overlaps) {
		return ""
	}
	for _, l := range others {
		if pid, name := owner(l.Inode); pid > 0 {
			return fmt.Sprintf("in use by %s (process %d)", name, pid)
		}
	}
	return "in use by another process"
}

// Socket is a socket on which a process listens.
type Socket struct {
	Bind
	Inode string
}

// listening lists the sockets of this network namespace, as far as the system shows them.
func listening(network string) []Socket {
	var all []Socket
	for _, name := range []string{network, network + "6"} {
		text, err := os.ReadFile("/proc/net/" + name) //nolint:gosec // tcp or udp
		if err == nil {
			all = append(all, ParseSockets(string(text), network)...)
		}
	}
	return all
}

// ParseSockets reads /proc/net/tcp and its kin.
func ParseSockets(text, network string) []Socket {
	state := map[string]string{"tcp": "0A", "udp": "07"}[network]
	var all []Socket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != state {
			continue
		}
		if address, ok := parseHexAddress(f[1]); ok {
			all = append(all, Socket{Bind{Network: network, Address: address}, f[9]})
		}
	}
	return all
}

// parseHexAddress reads 0100007F:1F90: words of four bytes, each little-endian.
func parseHexAddress(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	address, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address, uint16(number)), ok //nolint:gosec // parsed as 16 bits
}

// sockets are the inodes of the sockets that a process has open.
func sockets(pid int) ([]string, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var inodes []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes, nil
}

// owner finds the process that has a socket open; 0 when we may not look into it.
func owner(inode string) (pid int, name string) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, ""
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if inodes, err := sockets(pid); err == nil && slices.Contains(inodes, inode) {
			comm, _ := os.ReadFile("/proc/" + e.Name() + "/comm") //nolint:gosec // a number
			return pid, strings.TrimSpace(string(comm))
		}
	}
	return 0, ""
}

// StatFields are the fields of /proc/PID/stat behind the name: the first is the state,
// the second the parent, the twentieth the start. They are nil for a text of another form.
func StatFields(text string) []string {
	end := strings.LastIndexByte(text, ')')
	if fields := strings.Fields(text[end+1:]); end >= 0 && len(fields) >= 20 {
		return fields
	}
	return nil
}

const capNetBind = 10

// mayBindLow reports whether a process may bind ports below 1024, as far as can be seen.
func mayBindLow(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status") //nolint:gosec // a number
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err != nil || mask&(1<<capNetBind) != 0
		}
	}
	return true
}
