package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

// judge says what cannot be served. HAProxy checks lines of its own configuration alone,
// so that what is wrong with them costs their route. Any goroutine may use it.
type judge struct {
	capabilities render.Capabilities
	// check has HAProxy check lines: why it refuses them, or an error when that could
	// not be found out. Nil: there is no HAProxy to ask.
	check func(ctx context.Context, lines []string) (why string, err error)
	// changed is called when there may be another answer than the one that was given;
	// answers counts how often that was.
	changed func()
	answers atomic.Uint64
	// wait is how long a question waits. Those with less than pause between them wait as
	// long as a check may take at most, and no more once one has waited in vain.
	wait, pause time.Duration
	ctx         context.Context // ends with close
	close       context.CancelFunc
	running     chan struct{} // bounds the checks at the same time

	mu    sync.Mutex
	known map[string]*verdict // by the text of lines
	late  bool                // since the last verdict a question has got none
	// When the last question had to wait, and until when those that follow it may.
	asked, until time.Time
}

// verdict is what HAProxy says of lines.
type verdict struct {
	done chan struct{} // closed when why is there
	why  string        // empty: they can be had
	used time.Time     // asked for the last time; guarded by the mutex
}

const (
	// knownSnippets bounds what is remembered of lines, and maxChecks how many are
	// checked at the same time.
	knownSnippets = 1000
	maxChecks     = 4
	// waitForVerdict is the wait of an engine that is notified of a later answer, and
	// checkAgain when lines are checked again that could not be.
	waitForVerdict = 2 * time.Second
	checkAgain     = 10 * time.Second

	notChecked = "HAProxy has not checked its lines yet; that goes on"
)

func newJudge(program *binary.Binary, changed func()) *judge {
	j := &judge{
		changed: changed, wait: waitForVerdict, pause: 2 * waitForVerdict,
		running: make(chan struct{}, maxChecks), known: map[string]*verdict{},
	}
	j.ctx, j.close = context.WithCancel(context.Background())
	if program != nil {
		j.capabilities = render.Capabilities{Major: program.Version.Major, Minor: program.Version.Minor}
		j.check = func(ctx context.Context, lines []string) (string, error) {
			return checkLines(ctx, program, Lines{Backend: lines})
		}
	}
	return j
}

// Unsupported says why a route with its backend, nil for none, cannot be served as
// the table means it, in a short phrase; empty when it can. Lines of HAProxy's own are
// checked beside the call, which waits for two seconds; calls that follow each other
// wait ten together, and no more once one has waited in vain. What comes later is
// reported by Options.OnChange and counted by Answers.
func (e *Engine) Unsupported(r *route.Route, b *route.Backend) string {
	return e.judge.unsupported(r, b)
}

// Answers counts how often Unsupported may have got another answer than it gave before.
func (e *Engine) Answers() uint64 { return e.judge.answers.Load() }

// UnsupportedBy is Engine.Unsupported for who has no engine: of the program at path,
// empty for the usual one, or of the oldest HAProxy that is supported when there is
// none. Each call waits for as long as a check may take.
func UnsupportedBy(ctx context.Context, path string) func(*route.Route, *route.Backend) string {
	program, err := binary.Find(ctx, path)
	if err != nil {
		program = nil
	}
	j := newJudge(program, func() {})
	j.wait, j.pause = checkTimeout, 0
	return j.unsupported
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
	if why := outside(lines); why != "" || j.check == nil {
		return why
	}
	v, patience := j.verdict(lines)
	select {
	case <-v.done:
		return v.why
	case <-time.After(patience):
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if v.found() {
		return v.why
	}
	j.late, j.asked = true, time.Now()
	j.until = j.asked
	return notChecked
}

// found reports whether the verdict is there.
func (v *verdict) found() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// verdict returns what is known of lines, which are checked when nothing is, and how
// long a question may wait for it. Where too many are being checked it never comes.
func (j *judge) verdict(lines []string) (v *verdict, patience time.Duration) {
	text, now := strings.Join(lines, "\n"), time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	v = j.known[text]
	if v == nil {
		v = &verdict{done: make(chan struct{})}
		if len(j.known) >= knownSnippets && !j.forget() {
			return v, 0
		}
		j.known[text] = v
		go j.find(v, text, lines)
	}
	v.used = now
	if !v.found() {
		if now.Sub(j.asked) >= j.pause {
			j.until = now.Add(checkTimeout)
		}
		j.asked = now
	}
	return v, min(j.wait, j.until.Sub(now))
}

// forget drops the verdict that was asked for longest ago; false when none is there yet.
// The caller holds the mutex.
func (j *judge) forget() bool {
	oldest, found := "", false
	for text, v := range j.known {
		if v.found() && (!found || v.used.Before(j.known[oldest].used)) {
			oldest, found = text, true
		}
	}
	delete(j.known, oldest)
	return found
}

// find fills in a verdict. What could not be found out is checked again after a while.
func (j *judge) find(v *verdict, text string, lines []string) {
	select {
	case j.running <- struct{}{}:
	case <-j.ctx.Done():
		return
	}
	why, err := j.check(j.ctx, lines)
	<-j.running
	if err != nil {
		why = "HAProxy could not check its lines, and will again: " + err.Error()
	}
	j.mu.Lock()
	v.why = withoutArguments(why, lines)
	close(v.done)
	late := j.late
	j.late = false
	j.mu.Unlock()
	if late {
		j.notify()
	}
	if err == nil || clock.Sleep(j.ctx, checkAgain) != nil {
		return
	}
	j.mu.Lock()
	if j.known[text] == v {
		delete(j.known, text)
	}
	j.mu.Unlock()
	j.notify()
}

// notify reports that there may be another answer.
func (j *judge) notify() {
	j.answers.Add(1)
	j.changed()
}

// quotedOrWord finds what a message quotes, and its words.
var quotedOrWord = regexp.MustCompile(`'[^'\n]*'|[^\s'"(),:<>\[\]]+`)

// withoutArguments is what HAProxy says about lines, without what they say behind their
// first two words, which may be a secret.
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
// The error is HAProxy's first reason, or why it could not be asked.
func CheckLines(ctx context.Context, program *binary.Binary, l Lines) error {
	why, err := checkLines(ctx, program, l)
	if err == nil && why != "" {
		err = errors.New(withoutArguments(why, slices.Concat(l.Global, l.Frontend, l.Backend)))
	}
	return err
}

// checkLines returns why HAProxy refuses lines, and an error when it could not be asked.
func checkLines(ctx context.Context, program *binary.Binary, l Lines) (refused string, err error) {
	for _, lines := range [][]string{l.Global, l.Frontend, l.Backend} {
		if why := outside(lines); why != "" {
			return why, nil
		}
	}
	dir, err := os.MkdirTemp("", "fairway-check")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	section := func(lines []string) string { return "\n  " + strings.Join(lines, "\n  ") + "\n" }
	text := "global" + section(l.Global) +
		"defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n" +
		"frontend requests\n  bind 127.0.0.1:1\n  default_backend service" + section(l.Frontend) +
		"backend service" + section(l.Backend)
	path := filepath.Join(dir, "lines.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	report, err := program.Check(ctx, binary.CheckOptions{Files: []string{path}})
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		return "", err
	case report.OK:
		return "", nil
	case len(report.Alerts) == 0:
		return "HAProxy refuses it: no reason given", nil
	}
	return "HAProxy refuses it: " + strings.Join(strings.Fields(report.Alerts[0].Text), " "), nil
}
