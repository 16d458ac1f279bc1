package ui

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"fairway/internal/api"
)

// fleetData is the documents and the hosts that have them.
type fleetData struct {
	Off       string // why there is no fleet; empty when there is one
	Documents []documentLine
	list[host]
	Running bool // a rollout is under way
	Drifted int
}

// documentLine is a document with the marks of its hosts.
type documentLine struct {
	api.FleetDocument
	Marks  []mark
	Health string
}

// host is a HAProxy with its colour.
type host struct {
	api.FleetHost
	Health string
}

// conditionHealth is the colour of a condition.
func conditionHealth(condition string) string {
	switch condition {
	case api.FleetCurrent:
		return fine
	case api.FleetOther, api.FleetPending, api.FleetChanging:
		return waiting
	case api.FleetEdited:
		return faulty
	case api.FleetUnreachable:
		return broken
	}
	return idle
}

// absent says why there is no fleet, where err means that.
func absent(err error) (string, bool) {
	refused, ok := errors.AsType[*api.Error](err)
	if ok && refused.Status == http.StatusServiceUnavailable {
		return refused.Detail, true
	}
	return "", false
}

func (p *Pages) fleet(c *call) (any, error) {
	found, err := c.ask.FleetDocuments(c)
	if why, ok := absent(err); ok {
		return fleetData{Off: why}, nil
	}
	if err != nil {
		return nil, err
	}
	hosts, err := c.ask.FleetHosts(c, "")
	if err != nil {
		return nil, err
	}
	d := fleetData{}
	of := map[string][]mark{}
	all := make([]host, len(hosts.Items))
	for i, h := range hosts.Items {
		all[i] = host{h, conditionHealth(h.Condition)}
		text := h.Host + ": " + h.Condition
		if h.Error != "" {
			text += ", " + h.Error
		}
		of[h.Document] = append(of[h.Document], mark{ID: h.Host, Health: all[i].Health, Text: text})
		if h.Condition == api.FleetEdited {
			d.Drifted++
		}
	}
	for _, doc := range found.Items {
		line := documentLine{FleetDocument: doc, Marks: of[doc.Name], Health: fine}
		for _, m := range line.Marks {
			line.Health = worse(line.Health, m.Health)
		}
		if doc.Rollout != nil && under(doc.Rollout.Phase) {
			d.Running = true
		}
		d.Documents = append(d.Documents, line)
	}
	d.list = newList(c, all, func(h host, words []string, filter string) bool {
		if filter == "trouble" && (h.Health == fine || h.Health == idle) {
			return false
		}
		return has(words, h.Host, h.Document, h.Condition, h.Error, h.Container, h.Version)
	})
	return d, nil
}

// under is true for the phases of a rollout that is under way.
func under(phase string) bool { return phase == api.RolloutRunning || phase == api.RolloutReverting }

// documentData is one document.
type documentData struct {
	api.FleetDocument
	May      bool
	Revision api.FleetRevision // what is in the editor; its content is Text
	Text     string
	// Hidden counts the characters in it that cannot be seen; Raw is true where a
	// browser would not give it back byte by byte.
	Hidden    int
	Raw       bool
	Revisions []api.FleetRevision
	Rollout   *rollout
	Rollouts  []api.FleetRollout
	Hosts     []host
	// Tab is what is shown: "edit", "plan", "drift" or "diff".
	Tab string
	// Plan is how hosts differ, for the tabs plan and drift.
	Plan []hostDiff
	Of   uint64 // the revision that Plan is about
	// Diff is between two revisions, for the tab diff.
	Diff     []diffLine
	From, To uint64
	Wrong    string
	Drifted  int
	Self     string
}

func (d documentData) title() string { return heading(d.Name) }

// hostDiff is how one host differs.
type hostDiff struct {
	api.FleetDifference
	Lines  []diffLine
	Health string
}

// rollout is a rollout with what a picture of it needs.
type rollout struct {
	api.FleetRollout
	Under bool
	Waves []wave
	Done  int // hosts that have ended, of all
	All   int
}

// wave is the hosts that are done together.
type wave struct {
	Number int
	Steps  []rolloutStep
}

type rolloutStep struct {
	api.FleetStep
	Health string
	Text   string
}

func (p *Pages) document(c *call) (any, error) {
	documents, err := c.ask.FleetDocuments(c)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(c.r.URL.Path, "/fleet/")
	d := documentData{May: c.may(api.RoleOperator), Tab: c.q.Get("tab")}
	for _, doc := range documents.Items {
		if named(name, doc.Name) {
			d.FleetDocument = doc
		}
	}
	if d.Name == "" {
		return nil, &api.Error{Status: http.StatusNotFound, Title: "No such document", Detail: "The fleet file names the documents."}
	}
	d.Self = link("fleet", d.Name)
	if err := d.read(c); err != nil {
		return nil, err
	}
	return d, d.readTab(c)
}

// read asks for what every tab shows.
func (d *documentData) read(c *call) error {
	hosts, err := c.ask.FleetHosts(c, d.Name)
	if err != nil {
		return err
	}
	for _, h := range hosts.Items {
		d.Hosts = append(d.Hosts, host{h, conditionHealth(h.Condition)})
		if h.Condition == api.FleetEdited {
			d.Drifted++
		}
	}
	revisions, err := c.ask.FleetRevisions(c, d.Name, 30)
	if err != nil {
		return err
	}
	d.Revisions = revisions.Items
	if d.FleetDocument.Rollout != nil {
		found, err := c.ask.Rollout(c, d.Name)
		if err != nil {
			return err
		}
		d.Rollout = newRollout(found)
	}
	past, err := c.ask.Rollouts(c, d.Name)
	if err != nil {
		return err
	}
	d.Rollouts = past.Items[:min(20, len(past.Items))]
	return nil
}

// readTab asks for what the chosen tab shows. Contents are for operators: they may
// hold what is not to be seen by all.
func (d *documentData) readTab(c *call) error {
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(c.q.Get(name), 10, 64)
		return n
	}
	if !d.May {
		d.Tab = ""
		return nil
	}
	switch d.Tab {
	case "plan", "drift":
		return d.compare(c, number("revision"))
	case "diff":
		found, err := c.ask.FleetDiff(c, d.Name, number("from"), number("to"))
		if err != nil {
			return d.refused(err)
		}
		d.Diff, d.From, d.To = diffLines(found.Diff), found.From, found.To
		return nil
	}
	d.Tab = "edit"
	if d.Newest == 0 {
		return nil
	}
	found, err := c.ask.FleetRevision(c, d.Name, number("revision"))
	if err != nil {
		return d.refused(err)
	}
	d.Revision, d.Text = found, string(found.Content)
	d.Raw = !utf8.ValidString(d.Text) || strings.ContainsAny(d.Text, "\x00\r")
	for _, r := range d.Text {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			d.Hidden++
		}
	}
	return nil
}

// compare asks the hosts how they differ.
func (d *documentData) compare(c *call, revision uint64) error {
	patient := c.ask.Patient(readTime)
	var found api.FleetPlan
	var err error
	if d.Tab == "plan" {
		found, err = patient.FleetPlan(c, d.Name, revision, nil)
	} else {
		found, err = patient.FleetDrift(c, d.Name, nil)
	}
	if err != nil {
		return d.refused(err)
	}
	d.Of = found.Revision
	for _, h := range found.Hosts {
		one := hostDiff{FleetDifference: h, Lines: diffLines(h.Diff), Health: conditionHealth(h.Condition)}
		if h.Error != "" {
			one.Health = broken
		}
		d.Plan = append(d.Plan, one)
	}
	return nil
}

// refused keeps what an operation says against it, to be shown in the page.
func (d *documentData) refused(err error) error {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		d.Wrong = refused.Detail
		return nil
	}
	return err
}

func newRollout(r api.FleetRollout) *rollout {
	out := &rollout{FleetRollout: r, Under: under(r.Phase), All: len(r.Hosts)}
	byWave := map[int]int{}
	for _, h := range r.Hosts {
		step := rolloutStep{FleetStep: h, Health: stepHealth(h.State), Text: h.Host + ": " + h.State}
		if h.Error != "" {
			step.Text += ", " + h.Error
		}
		if h.State != "waiting" && h.State != "applying" && h.State != "returning" {
			out.Done++
		}
		i, ok := byWave[h.Wave]
		if !ok {
			i = len(out.Waves)
			byWave[h.Wave] = i
			out.Waves = append(out.Waves, wave{Number: h.Wave})
		}
		out.Waves[i].Steps = append(out.Waves[i].Steps, step)
	}
	return out
}

// stepHealth is the colour of the state of a host in a rollout.
func stepHealth(state string) string {
	switch state {
	case "applied", "already":
		return fine
	case "applying", "returning":
		return waiting
	case "returned", "absent":
		return faulty
	case "refused", "unknown", "lost":
		return broken
	}
	return idle
}
