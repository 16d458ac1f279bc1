package consul

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/consul"
	"fairway/internal/publish"
)

// The metadata of entries by which they are known again.
const (
	metaInstance = "fairway-instance"
	metaSource   = "fairway-source"
	metaRun      = "fairway-run"    // when the Fairway that wrote it was started
	metaChecks   = "fairway-checks" // a hash of the definitions, which an agent does not show
)

// settings are those that entries are written by.
type settings struct {
	owner, run    string
	lease, forget time.Duration
	adopt         bool // entries of Registrator
}

// have is what an agent has.
type have struct {
	services map[string]consul.AgentService
	checks   map[string]consul.Check
}

// mine are the IDs of the entries of an owner, sorted.
func (h have) mine(owner string) (ids []string) {
	for id, s := range h.services {
		if s.Meta[consul.MetaOwner] == owner {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// abandoned reports whether the lease of an entry has run out.
func (h have) abandoned(id string) bool {
	c := h.checks[stateID(id)]
	return c.Status == consul.Critical && strings.HasPrefix(c.Output, "TTL expired")
}

// The operations of a step.
const (
	opCheck      = "check"    // say the state
	opRegister   = "register" // write the entry
	opUncheck    = "uncheck"  // take a check away
	opDeregister = "deregister"
)

// step is one write.
type step struct {
	op, entry     string
	check         string // its ID, of opCheck and opUncheck
	status        string
	output        string
	registration  consul.Registration
	why           string
	refreshed     bool // nothing but the lease
	alreadyStated bool // the registration has the state that the check is to have
}

// verdict is what is wrong with an entry, in words: what differs, or why it is not written.
type verdict struct {
	state string // registered, missing, differs, refused
	why   string
}

// plan returns what is to be done so that an agent has what is wanted, but for removals, and
// what holds for each entry. The states of checks come first, then registrations. due reports
// whether the lease of a check is to be renewed.
func plan(want []publish.Entry, h have, o settings, due func(check string) bool) (steps []step, verdicts map[string]verdict) {
	verdicts = make(map[string]verdict, len(want))
	others := map[string]string{} // instance and port → owner
	for _, s := range h.services {
		if owner := s.Meta[consul.MetaOwner]; owner != "" && owner != o.owner && !h.abandoned(s.ID) {
			others[s.Meta[metaInstance]+fmt.Sprint(":", s.Port)] = owner
		}
	}
	for _, e := range want {
		was, there := h.services[e.ID]
		owner := was.Meta[consul.MetaOwner]
		other := others[e.Instance+fmt.Sprint(":", e.Port)]
		v := verdict{state: "registered"}
		switch {
		case e.Quiet && (!there || owner != o.owner):
			v = verdict{"waits", e.Output}
		case e.Quiet:
			v.why = e.Output
			if c, ok := h.checks[stateID(e.ID)]; ok && due(c.CheckID) {
				steps = append(steps, step{op: opCheck, entry: e.ID, check: c.CheckID, status: c.Status, output: e.Output, why: "lease", refreshed: true})
			}
		case !there && other != "":
			v = verdict{"refused", "another Fairway (owner " + short(other) + ") publishes this instance"}
		case !there:
			v = verdict{"missing", "it is not there"}
		case owner == "" && o.adopt && same(e, was):
			v = verdict{"differs", "it is Registrator's, and is taken over"}
		case owner == "":
			v = verdict{"refused", "the ID is that of an entry which no Fairway has written"}
		case owner != o.owner && h.abandoned(e.ID):
			v = verdict{"differs", "its owner (" + short(owner) + ") is gone, and it is taken over"}
		case owner != o.owner:
			v = verdict{"refused", "the ID is that of another Fairway (owner " + short(owner) + ")"}
		default:
			if list := differences(e, was, h, o); len(list) > 0 {
				v = verdict{"differs", strings.Join(list, ", ")}
			}
		}
		verdicts[e.ID] = v
		if e.Quiet || v.state == "refused" {
			continue
		}
		steps = append(steps, stepsOf(e, was, h, o, v, due)...)
	}
	order := []string{opCheck, opRegister, opUncheck}
	slices.SortStableFunc(steps, func(a, b step) int { return slices.Index(order, a.op) - slices.Index(order, b.op) })
	return steps, verdicts
}

// stepsOf are those for one entry.
func stepsOf(e publish.Entry, was consul.Service, h have, o settings, v verdict, due func(string) bool) (steps []step) {
	status, output := state(e)
	check := stateID(e.ID)
	now, checked := h.checks[check]
	if v.state != "registered" {
		r := registration(e, o)
		if e.Override && v.state == "differs" {
			r.Tags = was.Tags
		}
		steps = append(steps, step{
			op: opRegister, entry: e.ID, registration: r, why: v.why, check: check, status: status, output: output,
			alreadyStated: !checked && output == "",
		})
		// A check that the agent has keeps its state: it is said before, too, so that no
		// request waits for the registration.
		if checked && (now.Status != status || now.Output != output) {
			steps = append(steps, step{op: opCheck, entry: e.ID, check: check, status: status, output: output, why: "it is " + status})
		}
	} else {
		switch {
		case now.Status != status || now.Output != output:
			steps = append(steps, step{op: opCheck, entry: e.ID, check: check, status: status, output: output, why: "it is " + status})
		case due(check):
			steps = append(steps, step{op: opCheck, entry: e.ID, check: check, status: status, output: output, why: "lease", refreshed: true})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(h.checks)) {
		if c := h.checks[id]; c.ServiceID == e.ID && was.Meta[consul.MetaOwner] == o.owner && isOurs(e.ID, id) && !slices.ContainsFunc(definitions(e, o), func(d consul.Definition) bool { return d.CheckID == id }) {
			steps = append(steps, step{op: opUncheck, entry: e.ID, check: id, why: "the check is no longer asked for"})
		}
	}
	return steps
}

func short(owner string) string { return owner[:min(8, len(owner))] }

func same(e publish.Entry, s consul.Service) bool {
	return e.Name == s.Name && e.Address == s.Address && int(e.Port) == s.Port
}

// differences are the parts of an entry that are not as they are wanted.
func differences(e publish.Entry, was consul.Service, h have, o settings) (list []string) {
	r := registration(e, o)
	for _, x := range []struct {
		part      string
		different bool
	}{
		{"name", was.Name != r.Name},
		{"address", was.Address != r.Address},
		{"port", was.Port != r.Port},
		{"tags", !e.Override && !slices.Equal(slices.Sorted(slices.Values(was.Tags)), r.Tags)},
		{"metadata", !equalMeta(was.Meta, r.Meta)},
		{"weight", was.Weights != weights(e)},
		{"tag override", was.EnableTagOverride != r.EnableTagOverride},
	} {
		if x.different {
			list = append(list, x.part)
		}
	}
	for _, d := range r.Checks {
		if _, there := h.checks[d.CheckID]; !there {
			list = append(list, "check "+d.Name)
		}
	}
	return list
}

func equalMeta(a, b map[string]string) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	delete(a, metaRun)
	delete(b, metaRun)
	return maps.Equal(a, b)
}

func weights(e publish.Entry) consul.Weights {
	return consul.Weights{Passing: max(e.Weight, 1), Warning: 1}
}

// registration is the entry as an agent takes it.
func registration(e publish.Entry, o settings) consul.Registration {
	w, checks := weights(e), definitions(e, o)
	r := consul.Registration{
		ID: e.ID, Name: e.Name, Tags: e.Tags, Address: e.Address, Port: int(e.Port), Weights: &w, EnableTagOverride: e.Override, Checks: checks,
		Meta: map[string]string{consul.MetaOwner: o.owner, metaInstance: e.Instance, metaSource: e.Source, metaRun: o.run, metaChecks: hash(checks)},
	}
	for key, value := range e.Meta {
		if _, ours := r.Meta[key]; !ours {
			r.Meta[key] = value
		}
	}
	return r
}

// hash is that of definitions but for the states that they begin with.
func hash(list []consul.Definition) string {
	list = slices.Clone(list)
	for i := range list {
		list[i].Status = ""
	}
	text, _ := json.Marshal(list) // they are plain values
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func stateID(entry string) string { return entry + ":state" }

// isOurs reports whether a check of an entry has an ID as definitions gives them.
func isOurs(entry, check string) bool {
	kind, ok := strings.CutPrefix(check, entry+":")
	kind, _, _ = strings.Cut(kind, "-")
	return ok && slices.Contains([]string{"state", "http", "tcp", "grpc", "ttl"}, kind)
}

// state is what the state check of an entry says.
func state(e publish.Entry) (status, output string) {
	if e.Ready {
		return consul.Passing, e.Output
	}
	return consul.Critical, e.Output
}

// definitions are the checks of an entry: its state, and those that are asked for.
func definitions(e publish.Entry, o settings) []consul.Definition {
	status, _ := state(e)
	list := []consul.Definition{{
		CheckID: stateID(e.ID), Name: "state as Fairway sees it", TTL: consul.Seconds(o.lease), Status: status,
		DeregisterCriticalServiceAfter: consul.Seconds(o.forget),
	}}
	for i, c := range e.Checks {
		d := consul.Definition{CheckID: fmt.Sprintf("%s:%s-%d", e.ID, c.Kind, i+1), Name: c.Kind + " " + c.Target, Status: c.Initial}
		switch c.Kind {
		case "http":
			d.HTTP, d.Method, d.TLSSkipVerify = c.Target, c.Method, c.SkipVerify
		case "tcp":
			d.TCP = c.Target
		case "grpc":
			d.GRPC, d.GRPCUseTLS = c.Target, c.TLS
		case "ttl":
			d.Name, d.TTL = "ttl of the application", consul.Seconds(c.TTL)
		}
		if c.Interval > 0 {
			d.Interval = consul.Seconds(c.Interval)
		}
		if c.Timeout > 0 {
			d.Timeout = consul.Seconds(c.Timeout)
		}
		if c.Forget > 0 {
			d.DeregisterCriticalServiceAfter = consul.Seconds(c.Forget)
		}
		list = append(list, d)
	}
	return list
}
