package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"fairway/internal/console"
	"fairway/internal/deploy"
	"fairway/internal/deploy/marks"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/human"
)

// planned is what --plan prints.
type planned struct {
	Changes  bool             `json:"changes"`
	Services []plannedService `json:"services"`
}

type plannedService struct {
	Service string `json:"service"`
	Image   string `json:"image,omitempty"`
	// Order is "start-first" or "stop-first", Why the reason for the latter.
	Order string        `json:"order,omitempty"`
	Why   string        `json:"why,omitempty"`
	Steps []plannedStep `json:"steps"`
}

type plannedStep struct {
	Step      string `json:"step"`
	Slot      int    `json:"slot,omitempty"`
	Container string `json:"container,omitempty"`
	Text      string `json:"text"`
}

func (p planned) print(h *command.Host) {
	for _, s := range p.Services {
		switch {
		case len(s.Steps) == 0:
			h.Printf("%s: nothing to do\n", s.Service)
			continue
		case s.Why != "":
			h.Printf("%s: %s, because %s\n", s.Service, s.Order, s.Why)
		case s.Order != "":
			h.Printf("%s: %s\n", s.Service, s.Order)
		default:
			h.Printf("%s: is removed\n", s.Service)
		}
		for _, step := range s.Steps {
			h.Printf("    %s\n", step.Text)
		}
	}
}

// describe says what a step does.
func describe(s deploy.Step) string {
	name, _ := marks.Read(s.Name)
	text := map[deploy.Kind]string{
		deploy.Pull: "pull the image", deploy.TakeOn: "lock the service", deploy.Prepare: "create the " + s.To, deploy.Create: "create " + s.To,
		deploy.Start: "start " + name, deploy.Ready: "wait until " + name + " is ready", deploy.Routed: "wait until " + name + " takes requests",
		deploy.Leave: "send nothing new to the old " + name, deploy.Drained: "wait until the old " + name + " has no requests", deploy.Stop: "stop the old " + name,
		deploy.Keep: "keep the old " + name + ", stopped", deploy.Delete: "remove " + s.Name, deploy.Policy: name + " gets the restart policy " + s.To,
		deploy.Settle: "watch all for a while", deploy.Release: "unlock the service", deploy.Rename: "rename " + s.Name + " to " + s.To,
	}[s.Kind]
	if s.Why != "" {
		text += " (" + s.Why + ")"
	}
	return text
}

// progressLines prints a line for each change.
type progressLines struct {
	h       *command.Host
	service string
	touched map[int]bool // slots that got a new instance
	last    string
}

// line is a step in JSON.
type line struct {
	Time      time.Time `json:"time"`
	Service   string    `json:"service"`
	Step      string    `json:"step"`
	Slot      int       `json:"slot,omitempty"`
	Container string    `json:"container,omitempty"`
	State     string    `json:"state"`
	Detail    string    `json:"detail,omitempty"`
	Back      bool      `json:"back,omitempty"`
}

func (p *progressLines) report(r deploy.Progress) {
	if r.Step.Kind == deploy.Start && r.State == "done" && r.Way == "" {
		p.touched[r.Step.Slot] = true
	}
	if p.h.Format == "json" {
		text, _ := json.Marshal(line{
			Time: time.Now().UTC(), Service: p.service, Step: string(r.Step.Kind), Slot: r.Step.Slot, Container: r.Step.Name, State: r.State,
			Detail: r.Detail, Back: r.Way != "",
		})
		p.h.Raw(string(text))
		return
	}
	waits := r.Step.Kind == deploy.Ready || r.Step.Kind == deploy.Routed || r.Step.Kind == deploy.Drained || r.Step.Kind == deploy.Settle || r.Step.Kind == deploy.Pull
	if r.State == "done" && r.Detail == "" || r.State == "doing" && !waits && r.Step.Kind != deploy.Stop && r.Step.Kind != deploy.Create {
		return
	}
	text := describe(r.Step)
	switch {
	case r.State == "failed":
		text += ": failed"
	case r.State != "doing" && r.Detail != "":
		text += ": " + r.Detail
	}
	if r.Way != "" {
		text = "back: " + text
	}
	if text = p.service + ": " + text; text != p.last {
		p.h.Note("%s", text)
	}
	p.last = text
}

// outcome is what a deploy of one service has come to.
type outcome struct {
	Service  string  `json:"service"`
	Image    string  `json:"image,omitempty"`
	Slots    int     `json:"slots"`
	Replaced int     `json:"replaced"`
	Seconds  float64 `json:"seconds"`
	// Cut counts requests that ran on when their instance was stopped.
	Cut int `json:"cut"`
	// Confirmed is false where no Fairway was asked.
	Confirmed bool `json:"confirmed"`
}

func (t *target) print(done []outcome) error {
	if t.h.Format == "json" {
		text, err := json.Marshal(map[string]any{"services": done})
		if err == nil {
			t.h.Raw(string(text))
		}
		return err
	}
	for _, o := range done {
		var parts []string
		switch {
		case o.Replaced > 0:
			parts = append(parts, fmt.Sprintf("%s, %s in %.1f s", human.Plural(o.Slots, "instance"), human.Plural(o.Replaced, "new one"), o.Seconds))
		case o.Slots > 0:
			parts = append(parts, human.Plural(o.Slots, "instance")+", nothing new")
		default:
			parts = append(parts, "removed; its volumes stay")
		}
		if o.Cut > 0 {
			parts = append(parts, human.Plural(o.Cut, "request")+" cut")
		}
		if !o.Confirmed {
			parts = append(parts, "not confirmed by any Fairway")
		}
		t.h.Printf("%s: %s\n", t.h.Paint(console.Good, o.Service), strings.Join(parts, "; "))
	}
	return nil
}
