// Package rules watches metrics and decides what to do: notify, drain a node, change
// the number of a service's instances.
//
//	world ──▶ values of a metric ──▶ decide (pure) ──▶ actions ──▶ Driver
//
// Nothing is done on doubt: an unknown value neither fires nor clears a rule, and
// time without values does not count.
package rules

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"fairway/internal/notify"
)

// What a rule does when it fires. A notification is sent in any case.
const (
	DoNotify = "notify"
	DoDrain  = "drain"
	DoScale  = "scale"
)

// Rule is one entry of the configuration.
type Rule struct {
	// Name is unique: letters, digits, dots, dashes and underscores.
	Name string `yaml:"name"`
	// When is the condition: "node.cpu > 90% for 5m"; see Parse.
	When string `yaml:"when"`
	// Only restricts the rule to subjects of these names or IDs, with * for any part.
	Only []string `yaml:"only"`
	// Do is notify (the default), drain or scale.
	Do string `yaml:"do"`

	// Most is how many subjects the rule drains at once; zero means 1.
	Most int `yaml:"most"`

	// Service is the Swarm service to scale; empty means that of the condition.
	Service string `yaml:"service"`
	// Min and Max bound the number of instances; both are needed.
	Min int `yaml:"min"`
	Max int `yaml:"max"`
	// Step is by how many instances; below zero for fewer. Zero means 1.
	Step int `yaml:"step"`
	// Cooldown is how long after a change, and after the start, no rule changes the
	// service; at least 30 s, zero means 5 min.
	Cooldown time.Duration `yaml:"cooldown"`
}

const (
	minCooldown     = 30 * time.Second
	defaultCooldown = 5 * time.Minute
	maxInstances    = 1000
)

// Check returns all that is wrong, by field, and by column of When.
func (r Rule) Check() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if err := notify.CheckName(r.Name); err != nil {
		faults = append(faults, err)
	}
	c, err := Parse(r.When)
	if err != nil {
		fault("when: %w", err)
	}
	for _, pattern := range r.Only {
		if _, err := path.Match(pattern, ""); err != nil {
			fault("only: pattern %q: brackets do not match", pattern)
		}
	}
	scales := r.Service != "" || r.Min != 0 || r.Max != 0 || r.Step != 0 || r.Cooldown != 0
	switch r.Do {
	case "", DoNotify, DoDrain:
		if scales {
			fault("service, min, max, step and cooldown are for do: scale")
		}
	case DoScale:
		faults = append(faults, r.checkScale(c.Metric.thing())...)
	default:
		fault("do %q: write notify, drain or scale", r.Do)
	}
	if thing := c.Metric.thing(); err == nil && r.Do == DoDrain && thing != "node" && thing != "service" && thing != "instance" {
		fault("do: a %s cannot be drained; take a metric of node, service or instance", thing)
	}
	if r.Most != 0 && (r.Do != DoDrain || r.Most < 0) {
		fault("most: a number above 0, with do: drain")
	}
	return faults
}

func (r Rule) checkScale(thing string) []error {
	var faults []error
	if r.Min < 1 || r.Max < r.Min || r.Max > maxInstances {
		faults = append(faults, fmt.Errorf("min and max: two numbers from 1 to %d are needed, the larger one last", maxInstances))
	}
	if r.Service == "" && thing != "" && thing != "service" {
		faults = append(faults, errors.New("service: which one is to be scaled? The condition is about something else"))
	}
	if r.Step > maxInstances || r.Step < -maxInstances {
		faults = append(faults, errors.New("step: is too large"))
	}
	if r.Cooldown != 0 && (r.Cooldown < minCooldown || r.Cooldown > 24*time.Hour) {
		faults = append(faults, fmt.Errorf("cooldown: %s to 24h", minCooldown))
	}
	return faults
}

// chooses reports whether the rule is about a subject.
func (r Rule) chooses(v Value) bool {
	return len(r.Only) == 0 || slices.ContainsFunc(r.Only, func(pattern string) bool {
		return notify.Matches(pattern, v.Name) || notify.Matches(pattern, v.Subject)
	})
}
