package socket

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Stats is the answer to `show stat`: a row for each frontend, server and backend.
type Stats struct {
	header  []string
	columns map[string]int
	rows    []string // as they were printed
}

// Row is one row of Stats.
type Row struct {
	columns map[string]int
	line    string // of a hundred fields few are looked at
}

// Kind is what a row of Stats is about; kinds are added. HAProxy takes some 4 µs for a row, which with
// thousands of services is felt by requests.
type Kind int

// The kinds of rows.
const (
	Frontends Kind = 1
	Backends  Kind = 2
	Servers   Kind = 4
	AllKinds  Kind = Frontends | Backends | Servers
)

// noProxy begins what is said of a section that is not there.
const noProxy = "No such proxy"

// Stats are the readings that the worker has of some kinds: of all sections, or of those that are named
// and are there.
func (s *Session) Stats(ctx context.Context, of Kind, sections ...string) (all Stats, err error) {
	kinds := strconv.Itoa(int(of))
	if len(sections) == 0 {
		return parsed(ParseStats)(s.run(ctx, nil, "show", "stat", "-1", kinds, "-1"))
	}
	for _, name := range sections {
		answer, err := s.run(ctx, nil, "show", "stat", name, kinds, "-1")
		if Refused(err, noProxy) || strings.HasPrefix(answer, noProxy) {
			continue
		}
		one, err := parsed(ParseStats)(answer, err)
		if err != nil {
			return Stats{}, err
		}
		one.rows = append(all.rows, one.rows...)
		all = one
	}
	return all, nil
}

// Rows are the rows as they were printed.
func (s Stats) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for _, row := range s.rows {
			if !yield(Row{s.columns, row}) {
				return
			}
		}
	}
}

// Text is a field by HAProxy's name of the column; empty when there is none.
func (r Row) Text(column string) string {
	i, ok := r.columns[column]
	if !ok {
		return ""
	}
	rest := r.line
	if strings.Contains(rest, `"`) {
		if fields := splitFields(rest); i < len(fields) {
			return fields[i]
		}
		return ""
	}
	for range i {
		_, rest, _ = strings.Cut(rest, ",")
	}
	field, _, _ := strings.Cut(rest, ",")
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

// Reason is what HAProxy says of a check that failed (management guide, 9.1: check_desc,
// check_code, last_chk).
func (r Row) Reason() string {
	text := r.Text("check_desc")
	if code := r.Text("check_code"); code != "" && code != "0" {
		text += " " + code
	}
	if last := r.Text("last_chk"); last != "" {
		text += ": " + last
	}
	return text
}

// ParseStats takes the answer to `show stat` apart.
func ParseStats(answer string) (Stats, error) {
	header, ok := strings.CutPrefix(strings.TrimLeft(answer, "\n"), "# ")
	if !ok {
		return Stats{}, errors.New("haproxy: show stat: no header")
	}
	rows := splitRows(header)
	s := Stats{header: splitFields(strings.TrimSuffix(rows[0], ",")), columns: map[string]int{}, rows: rows[1:]}
	for i, n := range s.header {
		s.columns[n] = i
	}
	for _, n := range []string{"pxname", "svname"} {
		if _, ok := s.columns[n]; !ok {
			return Stats{}, fmt.Errorf("haproxy: show stat: no column %s", n)
		}
	}
	return s, nil
}

// splitRows takes CSV apart into its rows, one at least. A row ends with the line, if not
// within quotes; empty lines are none.
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

// splitFields takes a row apart.
func splitFields(row string) []string {
	r := csv.NewReader(strings.NewReader(row))
	r.LazyQuotes = true
	fields, err := r.Read()
	if err != nil {
		return strings.Split(row, ",")
	}
	return fields
}

// CSV writes rows as HAProxy prints them. keep says by what names the section and server
// of a row are written, and whether it is there at all.
func (s Stats) CSV(keep func(Row) (proxy, server string, ok bool)) []byte {
	var b bytes.Buffer
	b.WriteString("# ")
	w := csv.NewWriter(&b)
	_ = w.Write(append(slices.Clip(s.header), "")) // a buffer takes everything
	for row := range s.Rows() {
		proxy, server, ok := keep(row)
		if !ok {
			continue
		}
		fields := make([]string, len(s.header)+1) // every line ends with a comma
		copy(fields[:len(s.header)], splitFields(row.line))
		fields[s.columns["pxname"]], fields[s.columns["svname"]] = proxy, server
		_ = w.Write(fields)
	}
	w.Flush()
	return b.Bytes()
}
