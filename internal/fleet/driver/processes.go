package driver

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/binary"
)

// lookScript prints the processes of HAProxy and the listening sockets of the container:
// per process its stat, its arguments, and its open files where ls may see them.
const lookScript = `cat /proc/uptime
for p in /proc/[0-9]*; do
  c=; read c < "$p/comm" || continue
  case "$c" in haproxy*) ;; *) continue ;; esac
  s=; read s < "$p/stat" || continue
  echo "process $s"
  cat "$p/cmdline"; echo
  ls -l "$p/fd"
done 2>/dev/null
echo sockets
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
exit 0`

type process struct {
	pid, parent int
	// began, in ticks since the machine began, distinguishes processes of one number.
	began int64
	args  []string
}

// replaces are the processes that it was started in the place of.
func (p process) replaces() []int {
	var pids []int
	for i, arg := range p.args {
		if arg != "-sf" && arg != "-st" {
			continue
		}
		for _, word := range p.args[i+1:] {
			pid, err := strconv.Atoi(word)
			if err != nil {
				break
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// inside is what can be seen of HAProxy in a container.
type inside struct {
	uptime    time.Duration // of the machine
	processes []process
	listening []netip.AddrPort // by any program
	own       []netip.AddrPort // by HAProxy, as far as can be seen
}

// ticks is how many ticks a second has in /proc of every Linux that runs Docker.
const ticks = 100

// parseInside reads what lookScript has written.
func parseInside(out string) (inside, error) {
	var in inside
	first, rest, _ := strings.Cut(out, "\n")
	seconds, err := strconv.ParseFloat(strings.TrimSpace(strings.SplitN(first, " ", 2)[0]), 64)
	if err != nil || seconds < 0 || seconds > 1e10 {
		return in, errors.New("what the container says of its processes makes no sense")
	}
	in.uptime = time.Duration(seconds * float64(time.Second))
	head, sockets, found := strings.Cut("\n"+rest, "\nsockets\n")
	if !found {
		return in, errors.New("what the container says of its processes breaks off")
	}
	inodes := map[string]bool{}
	for block := range strings.SplitSeq(head, "\nprocess ") {
		p, files, ok := parseProcess(block)
		if !ok {
			continue
		}
		in.processes = append(in.processes, p)
		for _, m := range socketFile.FindAllStringSubmatch(files, -1) {
			inodes[m[1]] = true
		}
	}
	for _, s := range binary.ParseSockets(sockets, "tcp") {
		in.listening = append(in.listening, plain(s.Address))
		if inodes[s.Inode] {
			in.own = append(in.own, plain(s.Address))
		}
	}
	slices.SortFunc(in.listening, netip.AddrPort.Compare)
	in.listening = slices.Compact(in.listening)
	return in, nil
}

var socketFile = regexp.MustCompile(`socket:\[(\d+)\]`)

// parseProcess reads a line of stat and one of arguments, and returns the rest.
func parseProcess(block string) (p process, files string, ok bool) {
	stat, rest, _ := strings.Cut(block, "\n")
	args, files, _ := strings.Cut(rest, "\n")
	number, _, _ := strings.Cut(stat, " ")
	f := binary.StatFields(stat)
	if f == nil || f[0] == "Z" {
		return p, "", false
	}
	if _, err := fmt.Sscan(number+" "+f[1]+" "+f[19], &p.pid, &p.parent, &p.began); err != nil {
		return p, "", false
	}
	p.args = strings.Split(strings.TrimRight(args, "\x00"), "\x00")
	return p, files, true
}

// findMaster returns the HAProxy whose parent is none. Several are an error.
func (in inside) findMaster() (process, error) {
	var found []process
	for _, p := range in.processes {
		if !slices.ContainsFunc(in.processes, func(q process) bool { return q.pid == p.parent }) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return process{}, errors.New("no HAProxy runs in the container")
	case 1:
		return found[0], nil
	default:
		return process{}, fmt.Errorf("%d HAProxies run in the container; only one can be managed", len(found))
	}
}

// workersOf returns the children of the master, oldest first.
func (in inside) workersOf(master process) []process {
	var list []process
	for _, p := range in.processes {
		if p.parent == master.pid {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b process) int { return int(a.began - b.began) })
	return list
}

func (in inside) age(p process) time.Duration {
	return max(0, in.uptime-time.Duration(p.began)*time.Second/ticks)
}

// noWorker is the answer of reloaded before anything has happened.
const noWorker = "no new worker"

// reloaded says what is missing for a reload: a new worker in the place of the old ones,
// and every address listened on. Empty for nothing.
func reloaded(before, now inside, wanted []binary.Bind) string {
	master, err := now.findMaster()
	if err != nil {
		return err.Error()
	}
	var fresh []process
	for _, w := range now.workersOf(master) {
		if !slices.ContainsFunc(before.processes, func(p process) bool { return p.pid == w.pid && p.began == w.began }) {
			fresh = append(fresh, w)
		}
	}
	if len(fresh) == 0 {
		return noWorker
	}
	var leaving []int
	for _, p := range now.processes {
		leaving = append(leaving, p.replaces()...)
	}
	for _, w := range now.workersOf(master) {
		if w.pid != fresh[len(fresh)-1].pid && !slices.Contains(leaving, w.pid) {
			return fmt.Sprintf("worker %d is not being replaced", w.pid)
		}
	}
	for _, b := range wanted {
		if b.Elsewhere == "" && !slices.Contains(now.listening, plain(b.Address)) {
			return fmt.Sprintf("nothing listens on %s (line %d)", b, b.Line)
		}
	}
	return ""
}

// taken finds addresses that others listen on. HAProxy must not find out by itself: it
// would stop listening on all addresses for two seconds.
func taken(now inside, running, wanted []binary.Bind) error {
	own := func(have netip.AddrPort) bool {
		return slices.Contains(now.own, have) ||
			slices.ContainsFunc(running, func(r binary.Bind) bool { return plain(r.Address) == have })
	}
	for _, b := range wanted {
		if b.Elsewhere != "" {
			continue // it cannot be seen from within the container's network
		}
		for _, have := range now.listening {
			if b.Overlaps(binary.Bind{Network: b.Network, Address: have}) && !own(have) {
				return fmt.Errorf("line %d: cannot bind %s: the address is in use by another program (%s)", b.Line, b, have)
			}
		}
	}
	return nil
}

func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
