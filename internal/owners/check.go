package owners

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// MaxPriority bounds priorities, those below zero as well.
const MaxPriority = 1_000_000

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Check returns all that is wrong with a record, by key.
func (r Record) Check() []error {
	faults := r.read(&Rights{})
	if !nameForm.MatchString(r.Name) {
		faults = append(faults, errors.New("name: letters, digits, dots, dashes and underscores are needed, at most 64"))
	}
	for _, key := range []struct {
		name     string
		patterns []string
	}{{"sources", r.Sources}, {"nodes", r.Nodes}, {"projects", r.Projects}, {"stacks", r.Stacks}} {
		for _, p := range key.patterns {
			if p == "" {
				faults = append(faults, fmt.Errorf("%s: a name is empty; leave the key out for all", key.name))
			}
		}
	}
	for _, kind := range r.Certificates {
		switch {
		case !slices.Contains([]string{CertAuto, CertInternal, CertFile, CertUpload, certNone}, kind):
			faults = append(faults, fmt.Errorf("certificates: %q: write auto, internal, file, upload or none", kind))
		case kind == certNone && len(r.Certificates) > 1:
			faults = append(faults, errors.New("certificates: none stands alone"))
		}
	}
	for _, label := range r.Labels {
		key, pattern, found := strings.Cut(label, "=")
		if !found || key == "" || pattern == "" || strings.TrimSpace(key) != key {
			faults = append(faults, fmt.Errorf("labels: %q: write KEY=VALUE, with * in the value for any text", label))
		}
	}
	return faults
}

// rights are what a record allows. What cannot be read is left out.
func (r Record) rights() *Rights {
	g := &Rights{record: r}
	if faults := r.read(g); len(faults) > 0 {
		g.hosts, g.paths, g.ports = nil, nil, nil // no part of what was not understood
	}
	return g
}

// read fills in rights, and returns what cannot be read.
func (r Record) read(g *Rights) (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, text := range r.Hosts {
		name, except := strings.CutPrefix(text, "!")
		h, err := route.ParseHost(name)
		switch {
		case err != nil:
			fault("hosts: %w", err)
		case except:
			g.except = append(g.except, h)
		default:
			g.hosts = append(g.hosts, h)
		}
	}
	if len(g.except) > 0 && len(g.hosts) == 0 {
		fault(`hosts: only what is left out is listed; add "*" for all others`)
	}
	for _, text := range r.Paths {
		path, err := canonical.Path(text)
		if err != nil {
			fault("paths: %q: %w", text, err)
			continue
		}
		g.paths = append(g.paths, strings.TrimSuffix(path, "/"))
	}
	for _, text := range r.TCPPorts {
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		low, lowErr := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		high, highErr := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		if lowErr != nil || highErr != nil || low == 0 || high < low {
			fault("tcp-ports: %q: write a port, 6379, or a range, 7000-7099", text)
			continue
		}
		g.ports = append(g.ports, ports{uint16(low), uint16(high)})
	}
	var err error
	if g.low, g.high, err = readPriorities(r.Priorities); err != nil {
		faults = append(faults, err)
	}
	return faults
}

var priorityForm = regexp.MustCompile(`^(?:(-?\d{1,7}) *- *)?(-?\d{1,7})$`)

// readPriorities reads "LOW-HIGH" or the highest alone.
func readPriorities(text string) (low, high int, err error) {
	if text == "" {
		return -MaxPriority, 0, nil
	}
	parts := priorityForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return 0, 0, fmt.Errorf("priorities: %q: write a range, 0-100, or the highest alone", text)
	}
	low = -MaxPriority
	if parts[1] != "" {
		low, _ = strconv.Atoi(parts[1])
	}
	high, _ = strconv.Atoi(parts[2])
	if low > high || high > MaxPriority || low < -MaxPriority {
		return 0, 0, fmt.Errorf("priorities: %q: the range is empty, or beyond a million", text)
	}
	return low, high, nil
}
