package haproxy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

// judge says what cannot be served. Text of HAProxy's own configuration is checked
// by HAProxy, alone, so that what is wrong with it costs its own route. Any
// goroutine may use it.
type judge struct {
	capabilities render.Capabilities
	program      *binary.Binary // nil: there is none to ask

	mu    sync.Mutex
	known map[string]string // why a snippet cannot be had, by its text
}

// knownSnippets bounds what is remembered of snippets.
const knownSnippets = 1000

func newJudge(program *binary.Binary) *judge {
	j := &judge{program: program, known: map[string]string{}}
	if program != nil {
		j.capabilities = render.Capabilities{Major: program.Version.Major, Minor: program.Version.Minor}
	}
	return j
}

// unsupported is Engine.Unsupported.
func (j *judge) unsupported(r *route.Route, b *route.Backend) string {
	if why := render.Unsupported(r, b, j.capabilities); why != "" {
		return why
	}
	for i := range r.Filters {
		if s := r.Filters[i].Snippet; s != nil {
			if why := j.snippet(s.Lines); why != "" {
				return why
			}
		}
	}
	return ""
}

// snippet says why lines cannot stand in a section; empty when they can.
func (j *judge) snippet(lines []string) string {
	text := strings.Join(lines, "\n")
	j.mu.Lock()
	defer j.mu.Unlock()
	why, ok := j.known[text]
	if ok {
		return why
	}
	if why = outside(lines); why == "" && j.program != nil {
		err := CheckLines(context.Background(), j.program, Lines{Backend: lines})
		if err != nil {
			why = withoutArguments(err.Error(), lines)
		}
	}
	if len(j.known) == knownSnippets {
		j.known = map[string]string{}
	}
	j.known[text] = why
	return why
}

// quotedOrWord finds what a message quotes, and its words.
var quotedOrWord = regexp.MustCompile(`'[^'\n]*'|[^\s'"(),:<>\[\]]+`)

// withoutArguments is what HAProxy says about lines, without what they say behind
// their first two words: that may be a secret, and the reason is read by others
// than those who wrote the lines.
func withoutArguments(why string, lines []string) string {
	var arguments []string
	for _, line := range lines {
		if words := strings.Fields(line); len(words) > 2 {
			arguments = append(arguments, strings.Join(words[2:], " "))
		}
	}
	said := strings.Join(arguments, "\n")
	return quotedOrWord.ReplaceAllStringFunc(why, func(part string) string {
		text := strings.Trim(part, "'")
		if text != "" && (text != part || len(text) > 2) && strings.Contains(said, text) {
			return strings.Replace(part, text, route.Masked, 1)
		}
		return part
	})
}

// outside refuses lines that would end the section they stand in.
func outside(lines []string) string {
	for _, line := range lines {
		words, err := binary.Words(line, nil)
		switch {
		case err != nil:
			return "the line cannot be read: " + err.Error()
		case len(words) > 0 && (binary.IsSection(words[0]) || strings.HasPrefix(words[0], ".")):
			return fmt.Sprintf("%q begins a part of the configuration that is not the route's", words[0])
		}
	}
	return ""
}

// Lines are lines of HAProxy's configuration by the section they are for.
type Lines struct {
	Global, Frontend, Backend []string
}

// checkTimeout bounds the check of lines.
const checkTimeout = 10 * time.Second

// CheckLines has HAProxy check lines in an empty configuration, without environment.
// The error is HAProxy's first reason.
func CheckLines(ctx context.Context, program *binary.Binary, l Lines) error {
	for _, lines := range [][]string{l.Global, l.Frontend, l.Backend} {
		if why := outside(lines); why != "" {
			return fmt.Errorf("%s", why)
		}
	}
	dir, err := os.MkdirTemp("", "fairway-check")
	if err != nil {
		return fmt.Errorf("the line cannot be checked: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	section := func(lines []string) string { return "\n  " + strings.Join(lines, "\n  ") + "\n" }
	text := "global" + section(l.Global) +
		"defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n" +
		"frontend requests\n  bind 127.0.0.1:1\n  default_backend service" + section(l.Frontend) +
		"backend service" + section(l.Backend)
	path := filepath.Join(dir, "lines.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("the line cannot be checked: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	report, err := program.Check(ctx, binary.CheckOptions{Files: []string{path}})
	if err != nil {
		return fmt.Errorf("the line cannot be checked: %w", err)
	}
	if report.OK {
		return nil
	}
	why := "no reason given"
	if len(report.Alerts) > 0 {
		why = strings.Join(strings.Fields(report.Alerts[0].Text), " ")
	}
	return fmt.Errorf("HAProxy refuses it: %s", why)
}
