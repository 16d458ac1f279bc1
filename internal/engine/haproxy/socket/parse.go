package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Info is the answer to `show info`.
type Info struct {
	Version string
	// PID is the worker that answered: it changes with every reload.
	PID    int
	Uptime time.Duration
	// Stopping is true of a worker that only finishes what it has.
	Stopping bool
	// Values are all fields by HAProxy's names.
	Values map[string]string
}

// Number is a field that is a whole number; zero when there is none.
func (i Info) Number(name string) int64 {
	n, _ := strconv.ParseInt(i.Values[name], 10, 64)
	return n
}

// ParseInfo takes the answer to `show info` apart.
func ParseInfo(answer string) (Info, error) {
	i := Info{Values: map[string]string{}}
	for line := range strings.Lines(answer) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); ok {
			i.Values[key] = value
		}
	}
	i.Version = i.Values["Version"]
	i.PID = int(i.Number("Pid"))
	i.Uptime = time.Duration(i.Number("Uptime_sec")) * time.Second
	i.Stopping = i.Number("Stopping") != 0
	if i.Version == "" || i.PID <= 0 {
		return Info{}, errors.New("haproxy: show info: no version or process")
	}
	return i, nil
}

// Stats is the answer to `show stat`: one row for each listener of HAProxy's,
// server and backend.
type Stats struct {
	columns map[string]int
	rows    []string // as they were printed: of a hundred fields few are looked at
}

// Row is one row of Stats.
type Row struct {
	columns map[string]int
	line    string
}

// Len is the number of rows.
func (s Stats) Len() int { return len(s.rows) }

// Row returns row i.
func (s Stats) Row(i int) Row { return Row{s.columns, s.rows[i]} }

// Text is a field by HAProxy's name of the column; empty when there is none.
func (r Row) Text(column string) string {
	i, ok := r.columns[column]
	if !ok {
		return ""
	}
	rest, more := r.line, true
	for ; i > 0 && more; i-- {
		_, rest, more = cutField(rest)
	}
	if !more {
		return ""
	}
	field, _, _ := cutField(rest)
	return field
}

// Number is a field that is a whole number; zero when it is empty or no number.
func (r Row) Number(column string) int64 {
	n, _ := strconv.ParseInt(r.Text(column), 10, 64)
	return n
}

// Proxy is the section the row belongs to, Server the server in it: "FRONTEND"
// and "BACKEND" stand for the section as a whole.
func (r Row) Proxy() string { return r.Text("pxname") }

// Server is the second part of the row's name; see Proxy.
func (r Row) Server() string { return r.Text("svname") }

// ParseStats takes the answer to `show stat` apart.
func ParseStats(answer string) (Stats, error) {
	header, ok := strings.CutPrefix(strings.TrimLeft(answer, "\n"), "# ")
	if !ok {
		return Stats{}, errors.New("haproxy: show stat: no header")
	}
	rows := splitRows(header)
	names := splitFields(rows[0])
	s := Stats{columns: make(map[string]int, len(names))}
	for i, n := range names {
		if n != "" {
			s.columns[n] = i
		}
	}
	for _, n := range []string{"pxname", "svname"} {
		if _, ok := s.columns[n]; !ok {
			return Stats{}, fmt.Errorf("haproxy: show stat: no column %s", n)
		}
	}
	s.rows = rows[1:]
	return s, nil
}

// splitRows takes CSV apart into its rows, one at least. A row ends with the line,
// if not within quotes (RFC 4180, 2.6); empty lines are none.
func splitRows(text string) []string {
	var rows []string
	row := ""
	for line := range strings.Lines(text) {
		row += line
		if strings.Count(row, `"`)%2 == 1 {
			continue
		}
		if row = strings.TrimRight(row, "\r\n"); row != "" {
			rows = append(rows, row)
		}
		row = ""
	}
	if row != "" || len(rows) == 0 {
		rows = append(rows, row)
	}
	return rows
}

func splitFields(row string) (fields []string) {
	for more := true; more; {
		var field string
		field, row, more = cutField(row)
		fields = append(fields, field)
	}
	return fields
}

// cutField takes the first field off a row. more is false when it was the last.
func cutField(row string) (field, rest string, more bool) {
	if !strings.HasPrefix(row, `"`) {
		return strings.Cut(row, ",")
	}
	for end := 1; end < len(row); end++ {
		if row[end] != '"' {
			continue
		}
		if strings.HasPrefix(row[end+1:], `"`) {
			end++ // a quote in the text is written twice
			continue
		}
		_, rest, more = strings.Cut(row[end+1:], ",")
		return strings.ReplaceAll(row[1:end], `""`, `"`), rest, more
	}
	return strings.ReplaceAll(row[1:], `""`, `"`), "", false
}

// Server is one server of `show servers state`.
type Server struct {
	Backend string
	Name    string
	Address netip.AddrPort
	// Weight is the one in force.
	Weight int
	// Up is false when checks have found the server down.
	Up bool
	// State is what it may get by an operator's will, regardless of checks.
	State State
	// Checked is true of a server whose active checks run.
	Checked bool
}

// Bits of srv_admin_state and srv_check_state, and the value of srv_op_state for
// a server that is down.
const (
	adminMaint   = 0x01 | 0x02 | 0x20 | 0x40 // forced, inherited, by resolution; 0x04 only says what the file said
	adminDrain   = 0x08 | 0x10               // forced, inherited
	checkEnabled = 0x04
	opStopped    = 0
)

// ParseServers takes the answer to `show servers state` apart. The columns are
// those of its version 1.
func ParseServers(answer string) ([]Server, error) {
	lines := strings.Split(strings.Trim(answer, "\n"), "\n")
	if len(lines) < 2 || lines[0] != "1" || !strings.HasPrefix(lines[1], "# ") {
		return nil, errors.New("haproxy: show servers state: not the form of version 1")
	}
	header := strings.Fields(lines[1][2:])
	index := make([]int, 0, 8)
	for _, name := range []string{
		"be_name", "srv_name", "srv_addr", "srv_port", "srv_uweight", "srv_op_state", "srv_admin_state", "srv_check_state",
	} {
		i := slices.Index(header, name)
		if i < 0 {
			return nil, fmt.Errorf("haproxy: show servers state: no column %s", name)
		}
		index = append(index, i)
	}
	servers := make([]Server, 0, len(lines)-2)
	for _, line := range lines[2:] {
		if line == "" {
			continue
		}
		fields := strings.Split(line, " ")
		pick := func(i int) string {
			if index[i] < len(fields) {
				return fields[index[i]]
			}
			return ""
		}
		s, err := parseServer(pick)
		if err != nil {
			return nil, fmt.Errorf("haproxy: show servers state: %q: %w", line, err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func parseServer(pick func(int) string) (Server, error) {
	s := Server{Backend: pick(0), Name: pick(1), State: StateReady}
	if s.Backend == "" || s.Name == "" {
		return s, errors.New("no name")
	}
	var numbers [5]int
	for i := range numbers {
		n, err := strconv.Atoi(pick(3 + i))
		if err != nil {
			return s, err
		}
		numbers[i] = n
	}
	port, weight, op, admin, check := numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
	if addr, err := netip.ParseAddr(pick(2)); err == nil && port >= 0 && port <= 65535 {
		s.Address = netip.AddrPortFrom(addr, uint16(port)) //nolint:gosec // checked above
	}
	s.Weight = weight
	s.Up = op != opStopped
	switch {
	case admin&adminMaint != 0:
		s.State = StateMaint
	case admin&adminDrain != 0:
		s.State = StateDrain
	}
	s.Checked = check&checkEnabled != 0
	return s, nil
}
