package env

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/engine/haproxy"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
)

// HAProxy is what variables say that only HAProxy can do.
type HAProxy struct {
	Extra         render.Extra
	ClientTimeout time.Duration // of a client that is silent in the middle of a request
	TunnelTimeout time.Duration
}

// haproxyVariables are the variables of Docker Flow Proxy that are kept with
// HAProxy as the engine, in place of those of the same names.
func haproxyVariables() []variable {
	// What concerns the page of statistics is put together at the end.
	later := func(*Environment, string) error { return nil }
	const page = "The page of HAProxy's statistics. "
	return []variable{
		{name: "CAPTURE_REQUEST_HEADER", status: kept, meaning: "Headers of requests, `Name:length`, that the access log holds as `captured`.", read: readCaptures},
		{name: "EXTRA_FRONTEND", secret: true, status: kept, meaning: "Lines of HAProxy's configuration for every listener that takes requests, separated by commas. Fairway does not start with lines that HAProxy refuses.", read: readLines(func(e *Environment) *[]string { return &e.HAProxy.Extra.Frontend })},
		{name: "EXTRA_GLOBAL", secret: true, status: kept, meaning: "Likewise for the global section.", read: readLines(func(e *Environment) *[]string { return &e.HAProxy.Extra.Global })},
		{name: "STATS_USER", secret: true, status: kept, meaning: page + "It is served only where `STATS_USER` and `STATS_PASS` are both set; `none` for both opens it to all clients.", read: later},
		{name: "STATS_PASS", secret: true, status: kept, meaning: "See `STATS_USER`.", read: later},
		{name: "STATS_URI", secret: true, status: kept, meaning: "Where the page is, `/admin?stats` by default.", read: later},
		{name: "STATS_PORT", secret: true, status: kept, meaning: "The port of the page alone; without it, or with 80, it is on every listener that takes requests.", read: later},
		{name: "STATS_USER_ENV", status: kept, meaning: "The name of the variable to read in place of `STATS_USER`.", read: later},
		{name: "STATS_PASS_ENV", status: kept, meaning: "Likewise.", read: later},
		{name: "STATS_URI_ENV", status: kept, meaning: "Likewise.", read: later},
		{name: "TIMEOUT_CLIENT", secret: true, status: kept, meaning: "Seconds that a client may be silent in the middle of a request or an answer; 60 by default.", read: readSeconds(time.Second, func(e *Environment) *time.Duration { return &e.HAProxy.ClientTimeout })},
		{name: "TIMEOUT_TUNNEL", secret: true, status: kept, meaning: "Seconds that a tunnel may be idle where no label says so; 3600 by default.", read: readSeconds(time.Second, func(e *Environment) *time.Duration { return &e.HAProxy.TunnelTimeout })},
	}
}

// withHAProxy puts the variables that HAProxy honours in place of the others.
func withHAProxy(variables []variable) []variable {
	for _, own := range haproxyVariables() {
		i := slices.IndexFunc(variables, func(v variable) bool { return v.name == own.name })
		variables[i] = own
	}
	return variables
}

// readLines reads lines that are separated by commas, as the original has them.
func readLines(place func(*Environment) *[]string) func(*Environment, string) error {
	return func(e *Environment, value string) error {
		*place(e) = items(strings.ReplaceAll(value, "\n", ","))
		return nil
	}
}

// readCaptures reads items like User-Agent:20.
func readCaptures(e *Environment, value string) error {
	const most = 1024
	for _, item := range items(value) {
		name, length, ok := strings.Cut(item, ":")
		n, err := strconv.Atoi(length)
		if !ok || err != nil || n < 1 || n > most || name == "" || strings.ContainsAny(name, " \t\"") {
			return fmt.Errorf("%q: write Name:length, with a length from 1 to %d", item, most)
		}
		e.HAProxy.Extra.Captures = append(e.HAProxy.Extra.Captures, render.Capture{Name: name, Length: n})
	}
	return nil
}

// finishHAProxy puts the page of statistics together.
func (e *Environment) finishHAProxy(env map[string]string, secrets fs.FS) error {
	value := func(name string) string {
		if text, there := secretOf(secrets, "dfp_"+name); there {
			return text
		}
		return env[cmp.Or(env[name+"_ENV"], name)]
	}
	s := render.Statistics{URI: cmp.Or(value("STATS_URI"), "/admin?stats"), User: value("STATS_USER"), Password: value("STATS_PASS")}
	port := value("STATS_PORT")
	switch {
	case s.User == "none" && s.Password == "none":
		s.User, s.Password = "", ""
	case s.User == "" && s.Password == "":
		if port != "" || value("STATS_URI") != "" {
			e.Notices = append(e.Notices, "STATS_URI, STATS_PORT: there is no page without STATS_USER and STATS_PASS; none for both opens it to all clients")
		}
		return nil
	case s.User == "" || s.Password == "" || s.User == "none" || s.Password == "none":
		e.Notices = append(e.Notices, "STATS_USER, STATS_PASS: there is no page unless both are set, or both are none")
		return nil
	case strings.ContainsAny(s.User, ":"):
		return errors.New("STATS_USER: a colon cannot be part of the name")
	}
	if !strings.HasPrefix(s.URI, "/") || strings.ContainsAny(s.URI, " \t") {
		return errors.New("STATS_URI: write a path, such as /admin?stats")
	}
	if port != "" && port != "80" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return errors.New("STATS_PORT: not a port")
		}
		s.Address = netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n))
	}
	e.HAProxy.Extra.Statistics = &s
	return nil
}

// CheckExtra has HAProxy check the operator's lines, for each variable alone.
func (e *Environment) CheckExtra(ctx context.Context, path string) error {
	extra := &e.HAProxy.Extra
	if len(extra.Global)+len(extra.Frontend) == 0 {
		return nil
	}
	program, err := binary.Find(ctx, path)
	if err != nil {
		return err
	}
	var faults []error
	for _, v := range []struct {
		name  string
		lines haproxy.Lines
	}{{"EXTRA_GLOBAL", haproxy.Lines{Global: extra.Global}}, {"EXTRA_FRONTEND", haproxy.Lines{Frontend: extra.Frontend}}} {
		if err := haproxy.CheckLines(ctx, program, v.lines); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", v.name, err))
		}
	}
	return errors.Join(faults...)
}
