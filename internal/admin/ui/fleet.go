package ui

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

type fleetData struct {
	Off       string // why there is no fleet; empty when there is one
	Documents []documentLine
	listing.List[api.FleetHost]
	Running bool // a rollout is under way
	Drifted int
}

type documentLine struct {
	api.FleetDocument
	Marks  []draw.Mark
	Health string
}

// absent says why there is no fleet or notifier; empty where err means something else.
func absent(err error) string {
	refused, ok := errors.AsType[*api.Error](err)
	if ok && refused.Status == http.StatusServiceUnavailable {
		return refused.Detail
	}
	return ""
}

// refusal is what an operation says against a question; other errors end the page.
func refusal(err error) string {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused.Detail
	}
	return must("", err)
}

func readFleet(c *call) (any, error) {
	found, err := c.ask.FleetDocuments(c)
	if why := absent(err); why != "" {
		return fleetData{Off: why}, nil
	}
	documents, hosts := must(found, err).Items, must(c.ask.FleetHosts(c, "")).Items
	d := fleetData{Drifted: count(hosts, edited)}
	of := map[string][]draw.Mark{}
	for _, h := range hosts {
		of[h.Document] = append(of[h.Document], draw.Mark{ID: h.Host, Health: signs.Word(h.Condition), Text: sign(h.Host, h.Condition, h.Error)})
	}
	for _, doc := range documents {
		line := documentLine{FleetDocument: doc, Marks: of[doc.Name], Health: signs.Fine}
		for _, m := range line.Marks {
			line.Health = signs.Worse(line.Health, m.Health)
		}
		d.Running = d.Running || doc.Rollout != nil && rollout{FleetRollout: *doc.Rollout}.Under()
		d.Documents = append(d.Documents, line)
	}
	d.List = listing.New(c.r.URL.Path, c.q, hosts, func(h api.FleetHost, words []string, filter string) bool {
		if health := signs.Word(h.Condition); filter == "trouble" && (health == signs.Fine || health == signs.Idle) {
			return false
		}
		return listing.Has(words, h.Host, h.Document, h.Condition, h.Error, h.Container, h.Version)
	},
		listing.Text("host", func(h api.FleetHost) string { return h.Host }),
		listing.Text("document", func(h api.FleetHost) string { return h.Document }),
		listing.Most("condition", func(h api.FleetHost) int { return signs.Badness(signs.Word(h.Condition)) }),
		listing.Most("rate", func(h api.FleetHost) float64 { return statistics(h).RequestRate }),
		listing.Most("failed", func(h api.FleetHost) float64 { return statistics(h).FailureRate }),
		listing.By("seen", func(h api.FleetHost) int64 { return h.Contact.Unix() }))
	return d, nil
}

// statistics are what HAProxy reports there; zero where it does not.
func statistics(h api.FleetHost) api.FleetStatistics {
	if h.Statistics == nil {
		return api.FleetStatistics{}
	}
	return *h.Statistics
}

func edited(h api.FleetHost) bool { return h.Condition == api.FleetEdited }

type documentData struct {
	api.FleetDocument
	May       bool
	Tab       string // what is shown: "edit", "plan", "drift" or "diff"; empty for viewers
	Revisions []api.FleetRevision
	Rollout   *rollout
	Rollouts  []api.FleetRollout
	Drifted   int
	Revision  api.FleetRevision // what is in the editor, with its Text
	Text      string
	// Hidden counts unprintable characters; Raw: a browser would change the bytes.
	Hidden   int
	Raw      bool
	Plan     []api.FleetDifference // for the tabs plan and drift
	Diff     string                // for the tab diff
	From, To uint64
	Wrong    string // what is said against the question of the tab
}

func (d documentData) Self() string { return link("fleet", d.Name) }

func (d documentData) title() string { return heading(d.Name) }

// rollout is a rollout with what a picture of it needs.
type rollout struct {
	api.FleetRollout
	Waves []wave
	Done  int // hosts that have ended
}

// Under is true for a rollout that is under way.
func (r rollout) Under() bool {
	return r.Phase == api.RolloutRunning || r.Phase == api.RolloutReverting
}

type wave struct {
	Number int
	Steps  []api.FleetStep
}

func readDocument(c *call) (any, error) {
	documents := must(c.ask.FleetDocuments(c)).Items
	name := strings.TrimPrefix(c.r.URL.Path, "/fleet/")
	i := slices.IndexFunc(documents, func(d api.FleetDocument) bool { return named(name, d.Name) })
	if i < 0 {
		return nil, problem(http.StatusNotFound, "No such document", "The fleet file names the documents.")
	}
	d := documentData{FleetDocument: documents[i], May: c.may(api.RoleOperator)}
	d.Drifted = count(must(c.ask.FleetHosts(c, d.Name)).Items, edited)
	d.Revisions = must(c.ask.FleetRevisions(c, d.Name, 30)).Items
	if d.FleetDocument.Rollout != nil {
		d.Rollout = newRollout(must(c.ask.Rollout(c, d.Name)))
	}
	past := must(c.ask.Rollouts(c, d.Name)).Items
	d.Rollouts = past[:min(20, len(past))]
	if d.May { // contents may hold what is not for all
		d.Wrong = refusal(d.readTab(c))
	}
	return d, nil
}

func (d *documentData) readTab(c *call) error {
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(c.q.Get(name), 10, 64)
		return n
	}
	d.Tab = c.q.Get("tab")
	switch d.Tab {
	case "plan":
		found, err := c.ask.FleetPlan(c, d.Name, number("revision"), nil)
		d.Plan = found.Hosts
		return err
	case "drift":
		found, err := c.ask.FleetDrift(c, d.Name, nil)
		d.Plan = found.Hosts
		return err
	case "diff":
		found, err := c.ask.FleetDiff(c, d.Name, number("from"), number("to"))
		d.Diff, d.From, d.To = found.Diff, found.From, found.To
		return err
	}
	d.Tab = "edit"
	if d.Newest == 0 {
		return nil
	}
	found, err := c.ask.FleetRevision(c, d.Name, number("revision"))
	d.Revision, d.Text = found, string(found.Content)
	d.Raw = !utf8.ValidString(d.Text) || strings.ContainsAny(d.Text, "\x00\r")
	for _, r := range d.Text {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			d.Hidden++
		}
	}
	return err
}

func newRollout(r api.FleetRollout) *rollout {
	out := &rollout{FleetRollout: r}
	out.Done = count(r.Hosts, func(h api.FleetStep) bool {
		return !slices.Contains([]string{"waiting", "applying", "returning"}, h.State)
	})
	for _, h := range r.Hosts {
		i := slices.IndexFunc(out.Waves, func(w wave) bool { return w.Number == h.Wave })
		if i < 0 {
			i = len(out.Waves)
			out.Waves = append(out.Waves, wave{Number: h.Wave})
		}
		out.Waves[i].Steps = append(out.Waves[i].Steps, h)
	}
	return out
}
