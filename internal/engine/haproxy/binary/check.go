package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// CheckOptions say what `haproxy -c` looks at.
type CheckOptions struct {
	// Files are the configuration files, in order (one -f each). At least one.
	Files []string
	// Dir is the working directory, against which HAProxy resolves relative
	// paths. Empty means this process's own.
	Dir string
	// MasterWorker checks as for master-worker mode (-W).
	MasterWorker bool
	// Strict takes warnings for errors (-dW).
	Strict bool
	// Known are more files whose content may be shown in a message: maps and
	// certificate lists that the same hand wrote.
	Known []string
	// Environ is the environment in which "${NAME}" is expanded, as os.Environ
	// gives it. Nil means an empty one: nobody else's secrets come into a
	// configuration by mistake.
	Environ []string
}

// Report is what HAProxy said of a configuration.
type Report struct {
	// OK means that HAProxy takes it. It does not mean that its addresses are
	// free: see Taken.
	OK bool
	// Alerts are why it does not; Warnings do not hinder it. In HAProxy's order.
	Alerts, Warnings []Message
}

// Message is one thing that HAProxy said.
type Message struct {
	// File and Line are the place, when HAProxy named one: File as given in
	// CheckOptions, Line from 1. Empty and 0 otherwise.
	File string
	Line int
	// Text is HAProxy's own words without the place. They may quote the
	// checked files, never another file: what HAProxy quotes out of other
	// files and the environment is left out.
	Text string
}

// String is the message on one line: place and HAProxy's words.
func (m Message) String() string {
	text := strings.Join(strings.Fields(m.Text), " ")
	if m.File == "" {
		return text
	}
	return fmt.Sprintf("%s:%d: %s", filepath.Base(m.File), m.Line, text)
}

// RefusedError says that HAProxy does not take a configuration, and why.
type RefusedError struct {
	// Alerts are HAProxy's reasons, at least one.
	Alerts []Message
}

// Error is the first reason in HAProxy's words, and how many more there are.
func (e *RefusedError) Error() string {
	text := "haproxy refuses the configuration: " + e.Alerts[0].String()
	if more := len(e.Alerts) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Err is nil for a configuration that HAProxy takes, otherwise a *RefusedError.
func (r *Report) Err() error {
	if r.OK {
		return nil
	}
	alerts := r.Alerts
	if len(alerts) == 0 {
		alerts = []Message{{Text: "haproxy gave no reason"}}
	}
	return &RefusedError{Alerts: alerts}
}

// Check runs `haproxy -c`. The error is about running it (not found, deadline);
// what HAProxy thinks of the files is in the report. Without a deadline in ctx it
// ends after 30 s.
func (b *Binary) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	if len(o.Files) == 0 {
		return nil, errors.New("haproxy: nothing to check")
	}
	ctx, cancel := context.WithTimeout(ctx, askDeadline)
	defer cancel()
	args := []string{"-c"}
	if o.MasterWorker {
		args = append(args, "-W")
	}
	if o.Strict {
		args = append(args, "-dW")
	}
	for _, f := range o.Files {
		args = append(args, "-f", f)
	}
	cmd := exec.CommandContext(ctx, b.Path, args...) //nolint:gosec // the operator's own haproxy, fixed arguments
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.WaitDelay = o.Dir, append([]string{}, o.Environ...), time.Second
	cmd.Stderr = &limited{to: &out, left: maxOutput}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (ctx.Err() != nil || !errors.As(err, &exit) || exit.ExitCode() < 0) {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", ctx.Err())
		}
		return nil, fmt.Errorf("haproxy: check: %w", err)
	}
	r := Messages(out.String(), o)
	r.OK = err == nil
	return r, nil
}

// Messages takes apart what a haproxy that was started with these files wrote,
// with the same care for what it quotes. OK is never set.
func Messages(text string, o CheckOptions) *Report {
	return read(text, shown(o))
}

// known are the texts out of which a message may quote.
type known struct {
	files map[string]bool // the names of the files
	dirs  []string        // directories given as configuration
	text  string
}

// maxKnown bounds what is read of the checked files to know what a message may
// quote; what lies beyond is not quoted.
const maxKnown = 64 << 20

func shown(o CheckOptions) known {
	k := known{files: map[string]bool{}}
	var text strings.Builder
	for _, list := range [][]string{o.Files, o.Known} {
		for _, name := range list {
			path := name
			if !filepath.IsAbs(path) {
				path = filepath.Join(o.Dir, path)
			}
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				inside, _ := filepath.Glob(filepath.Join(path, "*.cfg"))
				for _, f := range inside {
					k.add(&text, f, filepath.Join(name, filepath.Base(f)))
				}
				continue
			}
			k.add(&text, path, name)
		}
	}
	k.text = text.String()
	return k
}

func (k *known) add(text *strings.Builder, path, name string) {
	k.files[name] = true
	text.WriteString(" " + name + "\n")
	f, err := os.Open(path) //nolint:gosec // the file that is to be checked
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // read only
	_, _ = io.Copy(text, io.LimitReader(f, maxKnown-int64(min(text.Len(), maxKnown))))
}

var (
	messageLine = regexp.MustCompile(`^\[([A-Z]+)\]\s*(?:\d+/\d+ )?\(\d+\) ?: (?:config : )?(.*)$`)
	placeOf     = regexp.MustCompile(`^parsing \[(.+?):(\d+)\] ?:? ?`)
	otherLine   = regexp.MustCompile(`at line (\d+) of file '([^']*)'\.?$`)
	hint        = regexp.MustCompile(`did you mean '[a-z0-9._-]{1,40}' maybe`)
	ownWord     = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,30}$`)
	otherFile   = regexp.MustCompile(`(?i)(^|[\s'"(\[@])/[^\s'"]|\bfiles?\b|\blua\b|\.(lua|map|lst|txt|pem|json|conf)\b`)
)

// read takes what haproxy wrote apart. Notices, and the summary at the end which
// says nothing of its own, are left out.
func read(out string, k known) *Report {
	r := &Report{}
	var into *[]Message
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\r\n")
		m := messageLine.FindStringSubmatch(line)
		switch {
		case m == nil && into != nil && len(*into) > 0:
			last := &(*into)[len(*into)-1]
			last.Text += "\n" + line
			continue
		case m == nil:
			continue
		case m[1] == "ALERT" || m[1] == "EMERG" || m[1] == "CRIT":
			into = &r.Alerts
		case m[1] == "WARNING":
			into = &r.Warnings
		default:
			into = nil
			continue
		}
		*into = append(*into, Message{Text: m[2]})
	}
	for _, list := range []*[]Message{&r.Alerts, &r.Warnings} {
		kept := (*list)[:0]
		for _, m := range *list {
			if summary(m.Text) && len(*list) > 1 {
				continue
			}
			kept = append(kept, k.message(m.Text))
		}
		*list = kept
	}
	return r
}

func summary(text string) bool {
	return strings.HasPrefix(text, "Error(s) found in configuration file") || strings.HasPrefix(text, "Fatal errors found in configuration") ||
		strings.HasPrefix(text, "Some warnings were found")
}

// message finds the place and leaves out what is quoted from elsewhere.
func (k known) message(text string) Message {
	var m Message
	if p := placeOf.FindStringSubmatch(text); p != nil {
		m.File = p[1]
		m.Line, _ = strconv.Atoi(p[2])
		text = text[len(p[0]):]
		if !k.files[m.File] {
			m.Text = "an error in this file, which is not part of what was checked; what is in it is not shown"
			return m
		}
	}
	m.Text = k.mask(text)
	return m
}

const notShown = "'…' (what is in other files is not shown)"

// mask leaves out what a message quotes and the checked files do not contain.
// Where the message may speak of another file, all after the first such quote
// goes, because what is in the file may hold a quote itself. Elsewhere only the
// quoted words go, unless they look like HAProxy's own.
func (k known) mask(text string) string {
	strict := otherFile.MatchString(text)
	mayHint := hint.FindStringIndex(text)
	parts := strings.Split(text, "'")
	at := len(parts[0])
	for i := 1; i < len(parts); i += 2 {
		quoted := parts[i]
		isHint := mayHint != nil && at >= mayHint[0] && at < mayHint[1]
		at += len(quoted) + 1
		if i+1 < len(parts) {
			at += len(parts[i+1]) + 1
		}
		if isHint || quoted == "" || strings.Contains(k.text, quoted) || !strict && ownWord.MatchString(quoted) {
			continue
		}
		if !strict {
			parts[i] = "…"
			continue
		}
		masked := strings.Join(parts[:i], "'") + notShown
		if o := otherLine.FindStringSubmatch(text); o != nil {
			masked += ", at line " + o[1] + " of file '" + o[2] + "'"
		}
		return masked
	}
	return strings.Join(parts, "'")
}
