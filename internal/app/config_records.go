package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"fairway/internal/nearest"
	"fairway/internal/notify"
	"fairway/internal/route"
	"fairway/internal/rules"
	"fairway/internal/yamlnode"
)

// NotifyConfig is the keys below notify.
type NotifyConfig struct {
	Channels []notify.Channel `name:"channels" placeholder:"{…}" sep:"\n" help:"Where events are told: webhook, mail or Slack; docs/notify.md says how. In a flag or variable one a line, in braces. Repeatable."`
	Settle   time.Duration    `name:"settle" placeholder:"DURATION" preset:"10s" help:"How long a service, an instance or a source must be in trouble before it is told; a node that is down is told at once."`
	Name     string           `name:"name" placeholder:"NAME" derived:"the name of this machine" help:"How this Fairway is called in what it tells."`
}

// A record is a value of several parts: a mapping in the file, and in a flag or
// variable the same in braces.

// records are the types of keys whose values are lists of records.
func (f Field) isRecords() bool {
	switch f.Pointer.(type) {
	case *[]notify.Channel, *[]rules.Rule:
		return true
	}
	return false
}

// setRecords parses records; the error names the one at fault.
func setRecords[T any](p *[]T, texts []string) error {
	var list []T
	for i, text := range texts {
		var v T
		if err := parseRecord(text, &v); err != nil {
			return fmt.Errorf("number %d: %w", i+1, err)
		}
		list = append(list, v)
	}
	*p = list
	return nil
}

// parseRecord reads one record into a pointer to a struct.
func parseRecord(text string, into any) error {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		_, reason := yamlnode.Reason(err)
		return errors.New(reason)
	}
	if len(node.Content) != 1 || node.Content[0].Kind != yaml.MappingNode {
		return errors.New("write {name: …, …}")
	}
	record, parts := node.Content[0], recordParts(into)
	for i := 0; i < len(record.Content); i += 2 {
		name := record.Content[i].Value
		if slices.Contains(parts, name) {
			continue
		}
		if near := nearest.Word(name, parts); near != "" {
			return fmt.Errorf("%q means nothing here; did you mean %s?", name, near)
		}
		return fmt.Errorf("%q means nothing here", name)
	}
	if err := record.Decode(into); err != nil {
		_, reason := yamlnode.Reason(err)
		reason = strings.TrimPrefix(reason, "unmarshal errors: ")
		_, reason = yamlnode.CutLine(strings.TrimPrefix(reason, "construct errors: "))
		return errors.New(reason)
	}
	return nil
}

// recordParts names the parts of a record.
func recordParts(record any) []string {
	var names []string
	t := reflect.TypeOf(record).Elem()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("yaml"))
	}
	return names
}

// recordText writes a record as it may be given in a flag; parts that say nothing
// are left out.
func recordText[T any](record T) string {
	v := reflect.ValueOf(record)
	var parts []string
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		value := v.Field(i).Interface()
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		text, err := json.Marshal(value)
		if err != nil {
			continue // texts, numbers and lists of texts always encode
		}
		parts = append(parts, v.Type().Field(i).Tag.Get("yaml")+": "+string(text))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// channelText is recordText without what of a webhook's URL may be a secret: its
// path and query.
func channelText(c notify.Channel) string {
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Host == "") {
		c.URL = route.Masked
	} else if c.URL != "" {
		c.URL = u.Scheme + "://" + u.Host + "/" + route.Masked
	}
	return recordText(c)
}

// nodeText writes a mapping of the file as one line.
func nodeText(n *yaml.Node) (string, bool) {
	var value map[string]any
	if n.Kind != yaml.MappingNode || n.Decode(&value) != nil {
		return "", false
	}
	text, err := json.Marshal(value)
	return string(text), err == nil
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
