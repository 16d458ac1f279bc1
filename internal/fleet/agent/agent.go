// Package agent is the part of a fleet in the container: it fetches the configuration of
// one name, checks it, puts it in place, and runs HAProxy as the first process. `docker
// exec` may start more of it: files are changed under a lock in the storage directory.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/process"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/fleet/agent/report"
)

// Options say what is fetched from where and kept where.
type Options struct {
	// Name is the name of the configuration, often the address that HAProxy serves.
	Name string
	// URL is where configurations are; the name is put behind it.
	URL string
	// Dir holds the file NAME.cfg and the directories temp, backup and good.
	Dir string
	// RunDir holds sockets, and what is of no use after HAProxy has ended.
	RunDir string
	// HAProxy is the path of the program; empty finds it.
	HAProxy string
	// Keep is how many copies of replaced files are kept; at least 1.
	Keep int
	// Timeout bounds one fetch with its Retries.
	Timeout time.Duration
	Retries int
	// Client fetches; see NewClient. Token is a bearer token; empty for none.
	Client *http.Client
	Token  string
	// Grace is how long connections may take to end when HAProxy is stopped.
	Grace time.Duration
	// Follow makes Run fetch, Interval apart when the control server answers at once.
	Follow   bool
	Interval time.Duration
	// Environ is the environment of HAProxy, whose variables a configuration may name.
	Environ []string
	// Log gets what the agent says, a line at a time; Output what HAProxy says.
	Log, Output io.Writer
}

// Agent works on one configuration. It is safe for concurrent use.
type Agent struct {
	o      Options
	binary *binary.Binary

	mu sync.Mutex // for lines of the log
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_:][A-Za-z0-9._:-]{0,127}$`)

// New finds HAProxy and makes the directories.
func New(ctx context.Context, o Options) (*Agent, error) {
	if o.Name == "" {
		return nil, errors.New("the variable VIP is not set: it is the name of the configuration to fetch")
	}
	if !validName.MatchString(o.Name) {
		return nil, fmt.Errorf("VIP=%q is not the name of a configuration: letters, digits and . _ : - are", o.Name)
	}
	if !filepath.IsAbs(o.Dir) || !filepath.IsAbs(o.RunDir) {
		return nil, fmt.Errorf("the directories %q and %q must be absolute paths", o.Dir, o.RunDir)
	}
	a := &Agent{o: o}
	for _, dir := range []string{a.dir("temp"), a.dir("backup"), a.dir("good")} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("storage: %w", err)
		}
	}
	// Write access to the sockets there is control over HAProxy.
	if err := os.MkdirAll(o.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("sockets: %w", err)
	}
	var err error
	if a.binary, err = binary.Find(ctx, o.HAProxy); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Agent) dir(name string) string { return filepath.Join(a.o.Dir, name) }

func (a *Agent) current() string { return filepath.Join(a.o.Dir, a.o.Name+".cfg") }

// temp is what was fetched last; good what a worker was last proven to run.
func (a *Agent) temp() string { return filepath.Join(a.dir("temp"), a.o.Name+".cfg") }
func (a *Agent) good() string { return filepath.Join(a.dir("good"), a.o.Name+".cfg") }

// marker is the second file that HAProxy reads: it names the content of the first.
func (a *Agent) marker() string { return filepath.Join(a.o.RunDir, "marker.cfg") }
func (a *Agent) master() string { return filepath.Join(a.o.RunDir, "master.sock") }

// output is where another process can read what HAProxy prints.
func (a *Agent) output() string { return filepath.Join(a.o.RunDir, "haproxy.log") }

// say writes a line of the log, with spaces in place of control characters.
func (a *Agent) say(format string, args ...any) {
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, fmt.Sprintf(format, args...))
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = fmt.Fprintf(a.o.Log, "[%s] %s\n", time.Now().Format(time.DateTime), line)
}

const checkTime = 30 * time.Second

// check asks HAProxy about a file, and looks whether what it binds anew is free.
func (a *Agent) check(ctx context.Context, file string, content, running []byte, pids []int) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	report, err := a.binary.Check(ctx, binary.CheckOptions{Files: []string{file}, Environ: a.o.Environ})
	if err != nil {
		return err
	}
	for _, w := range report.Warnings {
		a.say("HAProxy warns: %s", w)
	}
	if err := report.Err(); err != nil {
		return err
	}
	env := func(name string) string { return lookup(a.o.Environ, name) }
	conflicts, err := binary.Taken(ctx, binary.TakenOptions{
		Wanted: binary.Binds(string(content), env),
		Held:   binary.Binds(string(running), env),
		Pids:   pids,
	})
	if err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	if len(conflicts) == 0 {
		return nil
	}
	return fmt.Errorf("an address cannot be bound: %s", binary.First(conflicts))
}

func lookup(environ []string, name string) string {
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// processOptions are those with which HAProxy is started, and found again.
func (a *Agent) processOptions() process.Options {
	files := []string{a.current()}
	if a.marks() {
		files = append(files, a.marker())
	}
	return process.Options{
		Binary: a.binary, CheckOptions: binary.CheckOptions{Files: files, Environ: a.o.Environ}, MasterSocket: a.master(), LogFile: a.output(),
	}
}

// marks reports whether this HAProxy can carry a marker.
func (a *Agent) marks() bool { return a.binary.Version.AtLeast(2, 5) }

// mark writes the marker for a content and returns what a worker must carry.
func (a *Agent) mark(content []byte) (string, error) {
	if !a.marks() {
		return "", nil
	}
	value := report.Digest(content)
	return value, replace(a.marker(), []byte("global\n    set-var "+socket.MarkerVariable+" str("+value+")\n"), 0o600)
}
