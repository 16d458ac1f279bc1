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
	"slices"
	"strconv"
	"strings"
)

// CheckOptions say what `haproxy -c` looks at.
type CheckOptions struct {
	// Files are the configuration files, in order (one -f each). At least one.
	Files []string
	// Dir is HAProxy's working directory; empty means this process's own.
	Dir string
	// Known are more files whose content may be shown in a message.
	Known []string
	// Shown returns the text of a file as people may see it; false, or nil, for one that
	// may be shown as it is. Of a line that differs a message has HAProxy's words alone.
	Shown func(file string) (text string, ok bool)
	// Environ is the environment in which "${NAME}" is expanded; nil means an empty one.
	Environ []string
}

// Report is what HAProxy said of a configuration.
type Report struct {
	// OK means that HAProxy takes it, but not that its addresses are free: see Taken.
	OK bool
	// Alerts are why it does not; Warnings do not hinder it. In HAProxy's order.
	Alerts, Warnings []Message
}

// Message is one thing that HAProxy said.
type Message struct {
	// File, as given in CheckOptions, and Line, from 1, are the place if HAProxy named one.
	File string
	Line int
	// Text is HAProxy's own words without the place. They quote the checked files as far
	// as CheckOptions.Shown allows, never another file or the environment.
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
	return "haproxy refuses the configuration: " + First(e.Alerts)
}

// First is the first of some reasons, and how many more there are.
func First[T fmt.Stringer](reasons []T) string {
	text := reasons[0].String()
	if more := len(reasons) - 1; more > 0 {
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

// Check runs `haproxy -c -W`, within 30 s. The error is about running it; what HAProxy
// thinks of the files is in the report.
func (b *Binary) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	if len(o.Files) == 0 {
		return nil, errors.New("haproxy: nothing to check")
	}
	ctx, cancel := context.WithTimeout(ctx, askDeadline)
	defer cancel()
	args := []string{"-c", "-W"}
	for _, f := range o.Files {
		args = append(args, "-f", f)
	}
	cmd := exec.CommandContext(ctx, b.Path, args...) //nolint:gosec // the operator's own haproxy, fixed arguments
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.WaitDelay = o.Dir, append([]string{}, o.Environ...), outputWait
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

// Messages takes apart what a haproxy wrote that was started with these files, but for
// notices and a summary. OK is never set.
func Messages(text string, o CheckOptions) *Report {
	return messages(text, func() known { return shown(o) })
}

// Read takes apart what `haproxy -c` wrote in a container, where the configuration had
// that name and content; ok says that it ended with code 0.
func Read(out, file, content string, ok bool) *Report {
	r := messages(out, func() known {
		k := newKnown("")
		k.elsewhere = true
		k.add(file, content, content)
		return k
	})
	r.OK = ok
	return r
}

func messages(text string, shown func() known) *Report {
	r := &Report{}
	var into *[]Message
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		m := messageLine.FindStringSubmatch(line)
		switch {
		case m == nil && into != nil && len(*into) > 0:
			(*into)[len(*into)-1].Text += "\n" + line
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
	if len(r.Alerts)+len(r.Warnings) == 0 {
		return r
	}
	k := shown()
	for _, list := range []*[]Message{&r.Alerts, &r.Warnings} {
		var kept []Message
		for _, m := range *list {
			if !summary.MatchString(m.Text) || len(*list) == 1 {
				kept = append(kept, k.message(m.Text))
			}
		}
		*list = kept
	}
	return r
}

var (
	messageLine = regexp.MustCompile(`^\[([A-Z]+)\]\s*(?:\d+/\d+ )?\(\d+\) ?: (?:config : )?(.*)$`)
	summary     = regexp.MustCompile(`^(Error\(s\) found in configuration file|Fatal errors found in configuration|Some warnings were found|Loading failure!|Exiting Master process|\[[^\]]*\.main\(\)\] Some protocols failed)`)
	placeOf     = regexp.MustCompile(`^(?:parsing |(Binding ))?\[(.+?):(\d+)\] ?:? ?`)
)

// known is what a message may quote: the checked files and their names.
type known struct {
	elsewhere bool // the files of this machine say nothing about it
	dir       string
	files     map[string][]line // by the name of the file
	words     map[string]bool   // of the files as people may see them
	secret    map[string]bool   // the other words of lines that hold a secret
}

// line is a line of a checked file, and whether it holds a secret.
type line struct {
	text   string
	secret bool
}

func newKnown(dir string) known {
	return known{dir: dir, files: map[string][]line{}, words: map[string]bool{}, secret: map[string]bool{}}
}

// maxKnown bounds what is read of each checked file; what lies beyond is not quoted.
const maxKnown = 16 << 20

func shown(o CheckOptions) known {
	k := newKnown(o.Dir)
	for _, list := range [][]string{o.Files, o.Known} {
		for _, name := range list {
			if info, err := os.Stat(k.path(name)); err == nil && info.IsDir() {
				inside, _ := filepath.Glob(filepath.Join(k.path(name), "*.cfg"))
				for _, f := range inside {
					k.read(filepath.Join(name, filepath.Base(f)), o.Shown)
				}
				continue
			}
			k.read(name, o.Shown)
		}
	}
	return k
}

func (k known) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(k.dir, name)
}

func (k known) read(name string, shown func(string) (string, bool)) {
	var text []byte
	if f, err := os.Open(k.path(name)); err == nil {
		text, _ = io.ReadAll(io.LimitReader(f, maxKnown))
		_ = f.Close()
	}
	public := string(text)
	if shown != nil {
		if masked, ok := shown(name); ok {
			public = masked
		}
	}
	k.add(name, string(text), public)
}

// add adds a file. A line that public does not have at the same place is secret.
func (k known) add(name, text, public string) {
	seen := strings.Split(public, "\n")
	for _, word := range wordOf.FindAllString(name+"\n"+public, -1) {
		k.words[word] = true
	}
	lines := strings.Split(text, "\n")
	k.files[name] = make([]line, len(lines))
	for i, text := range lines {
		hidden := len(seen) != len(lines) || text != seen[i]
		k.files[name][i] = line{text, hidden}
		if !hidden {
			continue
		}
		for _, word := range wordOf.FindAllString(text, -1) {
			if !k.words[word] {
				k.secret[word] = true
			}
		}
	}
}

// message finds the place, and leaves out what is secret or comes from elsewhere.
func (k known) message(text string) Message {
	var m Message
	var at line
	if p := placeOf.FindStringSubmatch(text); p != nil {
		lines, ok := k.files[p[2]]
		m.File = p[2]
		m.Line, _ = strconv.Atoi(p[3])
		text = p[1] + text[len(p[0]):]
		if !ok {
			m.Text = "an error in this file, which is not part of what was checked; HAProxy's words may quote it and are not shown"
			return m
		}
		if m.Line >= 1 && m.Line <= len(lines) {
			at = lines[m.Line-1]
		}
	}
	if at.secret {
		// HAProxy may quote any part of the line: only its own words are shown.
		m.Text = ownWords(text)
		return m
	}
	own := ""
	if at := suggestion.FindStringIndex(text); at != nil {
		text, own = text[:at[0]], text[at[0]:]
	}
	if otherFile.MatchString(text) || k.namesFile(at.text) {
		m.Text = k.mask(text) + own
	} else {
		m.Text = k.maskSecrets(k.maskQuoted(text, at.text != "" || len(k.secret) == 0)) + own
	}
	return m
}

var (
	wordOf    = regexp.MustCompile(`[A-Za-z0-9_\x80-\x{10FFFF}]+`)
	otherFile = regexp.MustCompile(`(^|[\s'"(\[@])/[^\s'"]|\b[Ff]iles?\b|\b[Ll]ua\b|\.(lua|map|lst|txt|pem|json|conf)\b`)
	fileWord  = regexp.MustCompile(`file|-f\b|map|[Ll]ua|config|crt|\bca-|spoe|parse-resolv-conf`)
	numbered  = regexp.MustCompile(`(?:line |position |:)$`)
	hiddenRun = regexp.MustCompile(`…(?: *…)+`)
	quotedIn  = regexp.MustCompile(`'[^'\n]*'`)
	// What HAProxy suggests is a keyword out of its own tables.
	suggestion = regexp.MustCompile(`; did you mean '[a-z][a-z0-9._-]{0,40}' maybe \?$`)
	ownQuoted  = regexp.MustCompile(`^'[a-z][a-z0-9.-]{0,30}'$`)
)

// namesFile reports whether a line makes HAProxy read another file.
func (k known) namesFile(line string) bool {
	if fileWord.MatchString(line) {
		return true
	}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r,()\"'", r) }) {
		if _, ok := k.files[word]; ok {
			continue
		}
		if k.elsewhere && strings.Contains(word, "/") {
			return true
		}
		if info, err := os.Stat(k.path(word)); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// mask leaves out words that are neither in the checked files nor HAProxy's own.
func (k known) mask(text string) string {
	var masked strings.Builder
	at := 0
	for _, span := range wordOf.FindAllStringIndex(text, -1) {
		word := text[span[0]:span[1]]
		number := len(word) <= 6 && strings.Trim(word, "0123456789") == "" && numbered.MatchString(text[:span[0]])
		if !k.words[word] && !isFileWord(word) && !number {
			word = "…"
		}
		masked.WriteString(text[at:span[0]] + word)
		at = span[1]
	}
	return hiddenRun.ReplaceAllString(masked.String()+text[at:], "…")
}

// maskQuoted leaves out what a message quotes, perhaps the value of a variable, unless it
// is in the checked files or, with keywords, looks like one.
func (k known) maskQuoted(text string, keywords bool) string {
	return quotedIn.ReplaceAllStringFunc(text, func(quoted string) string {
		if keywords && ownQuoted.MatchString(quoted) || k.mask(quoted) == quoted {
			return quoted
		}
		return "'…'"
	})
}

// maskSecrets leaves out the words of lines that hold a secret.
func (k known) maskSecrets(text string) string {
	return wordOf.ReplaceAllStringFunc(text, func(word string) string {
		if k.secret[word] {
			return "…"
		}
		return word
	})
}

// ownWords leaves out words that are not HAProxy's own, with what stands around them.
func ownWords(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if !isFileWord(strings.Trim(word, ".,:;()'")) && word != ":" {
			words[i] = "…"
		}
	}
	return hiddenRun.ReplaceAllString(strings.Join(words, " "), "…")
}

// fileWords are the words in which HAProxy and the system speak of files.
var fileWords = strings.Fields(`
	a abort acl address addresses alert allowed already an and args argument arguments as at backend been before
	bind binding but by bytes ca can cannot certificate certificates chain character check column command condition
	configuration connect contains converter could crl crt denied detected dh did directories directory do does
	duplicate empty end engine entry errno error errors execute exist exists expected expects expression failed
	failure fatal fetch file files filter first for format found from frontend function global have header http
	https in include incompatible initialize integer into invalid ip ipv4 ipv6 is it its key keyword keywords kind
	length likely line lines list listen load loaded lua many map match matching maybe mean method missing mode
	more must name named near needs network no not number occurred of on one only open opening operation option
	options or out parameter params parse parsed parser parsing pattern patterns pem permission permitted position
	private processing proxy quote range read reading reason reference regex regular request resolve response
	return rule rules runtime sample section server short size skipping socket spoe ssl starting stat state string
	such supported syntax table target tcp than that the there this tls to too truncated type unable unexpected
	unix unknown unless unmatched unsupported usable use used user using valid value variable version warning was
	when while will with without wrong yet you
`)

func isFileWord(word string) bool { return slices.Contains(fileWords, strings.ToLower(word)) }
