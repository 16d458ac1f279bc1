package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fairway/internal/notify"
	"fairway/internal/rules"
)

// NotifyConfig is the keys below notify.
type NotifyConfig struct {
	Channels []notify.Channel `name:"channels" placeholder:"{…}" sep:"\n" help:"Notification channels: webhook, mail or Slack, as in docs/notify.md. In a flag or variable one a line, in braces. Repeatable."`
	Settle   time.Duration    `name:"settle" placeholder:"DURATION" preset:"10s" help:"Time that a service, an instance or a source must be failing before it is reported; a node that is down is reported at once."`
	Name     string           `name:"name" placeholder:"NAME" derived:"the name of this machine" help:"Name of this Fairway in notifications."`
}

// notify checks the channels.
func (v *validation) notify(c *NotifyConfig) {
	v.duration("notify.settle", c.Settle, 0, time.Hour)
	seen := map[string]bool{}
	for i, channel := range c.Channels {
		which := numbered(i, channel.Name)
		for _, err := range channel.Check() {
			v.add("notify.channels", "", which+err.Error())
		}
		if seen[channel.Name] {
			v.add("notify.channels", "", which+"another channel has this name")
		}
		seen[channel.Name] = true
		for _, path := range slices.Concat([]string{channel.URLFile, channel.PasswordFile, channel.CA}, channel.Secrets) {
			if path != "" {
				v.readable("notify.channels", path)
			}
		}
	}
}

// rules checks the rules.
func (v *validation) rules(c *Config) {
	seen := map[string]bool{}
	for i, rule := range c.Rules {
		which := numbered(i, rule.Name)
		for _, err := range rule.Check() {
			v.add("rules", "", which+err.Error())
		}
		if seen[rule.Name] {
			v.add("rules", "", which+"another rule has this name")
		}
		seen[rule.Name] = true
		if rule.Do == rules.DoScale && len(c.Swarm)+len(c.Docker) == 0 {
			v.add("rules", "", which+"do: scale needs a Swarm; name a manager with swarm")
		}
		if metric, _, _ := strings.Cut(rule.When, " "); c.Series.Every == 0 && rules.NeedsReadings(metric) {
			v.add("rules", "", which+metric+" needs readings, and series.every is 0s")
		}
	}
}

// numbered says which record of a list is meant.
func numbered(i int, name string) string {
	if name == "" {
		return fmt.Sprintf("number %d: ", i+1)
	}
	return fmt.Sprintf("number %d (%s): ", i+1, name)
}
