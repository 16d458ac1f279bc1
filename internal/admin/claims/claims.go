// Package claims answers who may claim which names, by the records of the key owners.
package claims

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/api/rights"
	"fairway/internal/catalog"
	"fairway/internal/owners"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// maxHolds is how many hosts of a record are listed.
const maxHolds = 100

// Records returns the records with what their services hold, and one for the services that
// none fits, if there are any.
func Records(l *owners.List, s *catalog.Snapshot, t *route.Table) []rights.OwnerRecord {
	list, of := []rights.OwnerRecord{}, map[*owners.Rights]int{}
	add := func(r *owners.Rights) {
		x := r.Record()
		of[r] = len(list)
		list = append(list, rights.OwnerRecord{
			Name: x.Name, Sources: x.Sources, Nodes: x.Nodes, Projects: x.Projects, Stacks: x.Stacks, Labels: x.Labels,
			Hosts: x.Hosts, Paths: x.Paths, TCPPorts: x.TCPPorts, Priorities: x.Priorities, Snippets: x.Snippets, Outbound: x.Outbound, Certificates: x.Certificates, Holds: []string{},
		})
	}
	for _, r := range l.All() {
		add(r)
	}
	machines, services := l.Machines(s.Nodes), map[string]*owners.Rights{}
	for _, svc := range s.Services {
		if !svc.Labelled() && !svc.Posted {
			continue
		}
		r := l.Of(owners.WhoHas(svc, machines))
		if _, known := of[r]; !known {
			add(nil)
		}
		services[svc.ID] = r
		list[of[r]].Services++
	}
	holds := make([]map[string]bool, len(list))
	for _, r := range t.Routes {
		by, known := services[r.Service]
		if !known {
			continue
		}
		i := of[by]
		list[i].Routes++
		if holds[i] == nil {
			holds[i] = map[string]bool{}
		}
		for _, m := range r.Matches {
			holds[i][m.Host.String()] = true
		}
	}
	for i := range list {
		if hosts := slices.Sorted(maps.Keys(holds[i])); len(hosts) > 0 {
			list[i].Holds = hosts[:min(len(hosts), maxHolds)]
		}
	}
	for _, p := range t.Problems {
		if by, known := services[p.Service]; known && p.Code == route.CodeNotAllowed && p.Route != "" {
			list[of[by]].Refused++
		}
	}
	return list
}

// Check answers a question: of each service that the name means, else of who is described,
// else of each record. The error says what of the question cannot be read, or that nothing has the name.
func Check(l *owners.List, s *catalog.Snapshot, query url.Values) ([]rights.OwnerAnswer, error) {
	q, err := rights.Read(query)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%s", err)
	}
	ask, asked, err := askOf(q)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%s", err)
	}
	var answers []rights.OwnerAnswer
	if q.Service != "" {
		machines := l.Machines(s.Nodes)
		for _, svc := range s.Called(q.Service) {
			answers = append(answers, answer(svc.ID, l.Of(owners.WhoHas(svc, machines)), ask, asked))
		}
		if len(answers) == 0 {
			return nil, api.Errorf(http.StatusNotFound, "there is no service %q%s", q.Service, s.DidYouMean(q.Service))
		}
		return answers, nil
	}
	who, described, err := whoOf(q)
	switch {
	case err != nil:
		return nil, api.Errorf(http.StatusBadRequest, "%s", err)
	case described:
		return []rights.OwnerAnswer{answer("", l.Of(who), ask, asked)}, nil
	}
	for _, r := range l.All() {
		answers = append(answers, answer("", r, ask, asked))
	}
	return append(answers, answer("", nil, ask, asked)), nil
}

// answer says what one record says; nil is none.
func answer(service string, r *owners.Rights, ask owners.Ask, asked string) rights.OwnerAnswer {
	a := rights.OwnerAnswer{Service: service, Record: r.Record().Name, Allowed: true}
	var refused *owners.Refusal
	if asked != "" {
		refused = r.Judge(ask)
	}
	switch {
	case refused != nil:
		a.Allowed, a.Text, a.Hint = false, refused.Why(), refused.Hint()
	case r == nil:
		a.Text = "no record of owners fits, so everything is allowed"
	case asked == "":
		a.Text = fmt.Sprintf("the record %s of owners decides", a.Record)
	default:
		a.Text = fmt.Sprintf("the record %s of owners allows %s", a.Record, asked)
	}
	return a
}

// whoOf is the owner that a question describes, if it does.
func whoOf(q rights.Question) (who owners.Who, described bool, err error) {
	labels := map[string]string{}
	for _, text := range q.Labels {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return who, false, fmt.Errorf("label %q: write KEY=VALUE", text)
		}
		labels[key] = value
	}
	who = owners.Who{Source: q.Source, Node: q.Node, Machine: q.Node, Project: q.Project, Stack: q.Stack, Label: func(key string) string { return labels[key] }}
	return who, q.Source != "" || q.Node != "" || q.Project != "" || q.Stack != "" || len(labels) > 0, nil
}

// askOf is what a question asks for, also in words; those are empty for nothing.
func askOf(q rights.Question) (ask owners.Ask, asked string, err error) {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	m := route.Match{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}
	if q.Host != "" {
		if m.Host, err = route.ParseHost(q.Host); err != nil {
			return ask, "", err
		}
		say("the host %s", m.Host)
	}
	if q.Path != "" {
		path, err := canonical.Path(q.Path)
		if err != nil {
			return ask, "", fmt.Errorf("path %q: %w", q.Path, err)
		}
		if m.Path.Value = path; path != "/" {
			m.Path.Value = strings.TrimSuffix(path, "/")
		}
		say("the path %s", m.Path.Value)
	}
	if q.TCPPort != 0 {
		if q.TCPPort < 1 || q.TCPPort > 65535 {
			return ask, "", fmt.Errorf("port %d: write 1 to 65535", q.TCPPort)
		}
		ask.TCPPorts = []uint16{uint16(q.TCPPort)} //nolint:gosec // it is within
		say("the TCP port %d", q.TCPPort)
	}
	if len(words) > 0 {
		ask.Matches = []route.Match{m}
	}
	if ask.Priority = q.Priority; q.Priority != 0 {
		say("the priority %s", strconv.Itoa(q.Priority))
	}
	if ask.Snippet = q.Snippets; q.Snippets {
		say("lines of HAProxy's configuration")
	}
	return ask, strings.Join(words, ", "), nil
}
