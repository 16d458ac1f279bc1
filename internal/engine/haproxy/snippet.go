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

// judge says what cannot be served. Text of HAProxy's own configuration is checked
// by HAProxy, alone, so that what is wrong with it costs its own route. Any
// goroutine may use it.
type judge struct {
	capabilities render.Capabilities
	// check has HAProxy check lines: why it refuses them, or an error when that could
	// not be found out. Nil: there is no HAProxy to ask.
	check func(ctx context.Context, lines []string) (why string, err error)
	// wait is how long the first question about lines waits for the answer, changed is
	// called when there is another answer than the one that was given then, and answers
	// counts how often that was.
	wait    time.Duration
	changed func()
	// burst makes questions that follow each other share one wait: it ends when no
	// verdict has come for as long, and after ten seconds. What is not waited for is
	// checked meanwhile.
	burst   bool
	answers atomic.Uint64
	ctx     context.Context // ends with close
	close   context.CancelFunc
	running chan struct{} // bounds the checks at the same time

	mu    sync.Mutex
	known map[string]*verdict // by the text of lines
	full  bool                // there were too many to check some
	// Of the questions that follow each other: when the first and the last had to wait,
	// and when the last verdict came.
	began, lastAsked, progress time.Time
}

// verdict is what HAProxy says of lines.
type verdict struct {
	asked time.Time     // for the first time
	done  chan struct{} // closed when why is there
	why   string        // empty: they can be had
	// Guarded by the mutex.
	used time.Time // asked for the last time
	late bool      // a question has not waited for it
}

const (
	// knownSnippets bounds what is remembered of lines, and maxChecks how many are
	// checked at the same time.
	knownSnippets = 1000
	maxChecks     = 4
	// waitForVerdict is the wait of an engine that is notified of a later answer, and
	// checkAgain when lines are asked about anew that could not be checked.
	waitForVerdict = 2 * time.Second
	checkAgain     = 10 * time.Second

	notChecked = "HAProxy has not checked its lines yet; that goes on"
)

func newJudge(program *binary.Binary) *judge {
	j := &judge{wait: checkTimeout, changed: func() {}, running: make(chan struct{}, maxChecks), known: map[string]*verdict{}}
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
// the table means it, in a short phrase; empty when it can. It is answered from what is
// known: lines of HAProxy's own are checked beside the call, which waits until
// no answer has come for two seconds, ten at most for calls that follow each other. What comes later is reported by Options.OnChange and counted by Answers.
func (e *Engine) Unsupported(r *route.Route, b *route.Backend) string {
	return e.judge.unsupported(r, b)
}

// Answers counts how often Unsupported has got another answer than it gave before.
func (e *Engine) Answers() uint64 { return e.judge.answers.Load() }

// UnsupportedBy is Engine.Unsupported for who has no engine: of the program at path,
// empty for the usual one, or of the oldest HAProxy that is supported when there is
// none.
func UnsupportedBy(ctx context.Context, path string) func(*route.Route, *route.Backend) string {
	program, err := binary.Find(ctx, path)
	if err != nil {
		program = nil
	}
	return newJudge(program).unsupported
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
	v := j.verdict(lines)
	if v == nil {
		return notChecked
	}
	for left := j.patience(v); left > 0; left = j.patience(v) {
		select {
		case <-v.done:
		case <-time.After(left): // another verdict may have come meanwhile
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if v.found() {
		return v.why
	}
	v.late = true
	return notChecked
}

// patience is for how long a question about lines waits for their verdict, from now.
func (j *judge) patience(v *verdict) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	switch {
	case v.found():
		return 0
	case !j.burst:
		return v.asked.Add(j.wait).Sub(now)
	}
	if now.Sub(j.lastAsked) >= 2*j.wait {
		j.began, j.progress = now, now
	}
	j.lastAsked = now
	return min(j.progress.Add(j.wait).Sub(now), j.began.Add(checkTimeout).Sub(now))
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

// verdict returns what is known of lines, which are checked when nothing is; nil when
// there are too many that are being checked. The oldest is forgotten for a new one.
func (j *judge) verdict(lines []string) *verdict {
	text := strings.Join(lines, "\n")
	j.mu.Lock()
	defer j.mu.Unlock()
	if v := j.known[text]; v != nil {
		v.used = time.Now()
		return v
	}
	if len(j.known) >= knownSnippets && !j.forget() {
		j.full = true
		return nil
	}
	now := time.Now()
	v := &verdict{asked: now, used: now, done: make(chan struct{})}
	j.known[text] = v
	go j.find(v, text, lines)
	return v
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
	if found {
		delete(j.known, oldest)
	}
	return found
}

// find fills in a verdict. What could not be found out is asked about again after a
// while: it says nothing about the lines.
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
	j.progress = time.Now()
	late := v.late || j.full
	j.full = false
	j.mu.Unlock()
	if err == nil {
		if late {
			j.notify()
		}
		return
	}
	if clock.Sleep(j.ctx, checkAgain) != nil {
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
