package driver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/binary"
)

const stdinFile = "/dev/stdin"

// The commands for a container without the agent, which need sh, cat, cp, mv and rm. No text
// from outside is part of them: $1 is the path of the configuration, $2 a process number.
const (
	readScript = `[ ! -L "$1" ] || { echo "$1 is a symbolic link: name the file itself" >&2; exit 3; }
exec cat "$1"`
	// With a sha256sum there, the file need not cross the network to be compared.
	digestScript = `[ ! -L "$1" ] && exec sha256sum < "$1"`
	// The new file gets owner and mode of the old one. Reading back finds a full disk.
	writeScript = `cp -p "$1" "$1.fairway-new" && cat > "$1.fairway-new" && exec cat "$1.fairway-new"`
	swapScript  = `cp -p "$1" "$1.fairway-old" && exec mv -f "$1.fairway-new" "$1"`
	backScript  = `exec mv -f "$1.fairway-old" "$1"`
	dropScript  = `exec rm -f "$1.fairway-new"`
	// Docker's signal reaches HAProxy only where it is the container's first process.
	signalScript = `kill -USR2 "$2"`
)

// Times of a reload. HAProxy needs 2.2 s to find out that an address is taken.
const (
	lookAgain = 150 * time.Millisecond
	// signalAgain: HAProxy 2.6 loses a signal that comes while it reloads.
	signalAgain = 4 * time.Second
	// settled is how long a new worker must stay where the log does not say success.
	settled = 3 * time.Second
	// proofTime is how long a reload may take, also on a host whose cores are all busy.
	proofTime = 45 * time.Second
	// youngest is the least age of a worker: a signal at start kills HAProxy up to 2.8.
	youngest = time.Second
)

// shell is a container with HAProxy and a shell, but without the agent.
type shell struct {
	engine Engine
	id     string
	target Target
	pages  *http.Client

	mu      sync.Mutex
	version string // empty while it is not known
}

func (t *shell) exec(ctx context.Context, stdin []byte, args ...string) (dockerapi.ExecResult, error) {
	return t.engine.ContainerExec(ctx, t.id, dockerapi.Exec{Args: args, User: "0", Stdin: stdin, MaxOutput: MaxContent + 1, Timeout: left(ctx)})
}

// run runs one of the scripts and returns what it prints.
func (t *shell) run(ctx context.Context, stdin []byte, script string, args ...string) ([]byte, error) {
	r, err := t.exec(ctx, stdin, append([]string{"sh", "-c", script, "fairway", t.target.File}, args...)...)
	if noProgram(r, err) {
		return nil, errors.New("the image has neither fairway nor a shell: put one of them into it")
	}
	if err == nil && r.ExitCode != 0 {
		return nil, errors.New(failure(r))
	}
	return r.Stdout, err
}

// left is the time that ctx has left; zero, for the client's own limit, without a deadline.
func left(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(time.Until(end), time.Millisecond)
	}
	return 0
}

// seen is what is known of a container before something is done to it.
type seen struct {
	content []byte // where it was asked for
	digest  string
	inside
	master  process
	workers []process
}

func (t *shell) see(ctx context.Context, content bool) (s seen, err error) {
	if !content {
		s.digest = t.digest(ctx)
	}
	if s.digest == "" {
		if s.content, err = t.file(ctx); err != nil {
			return s, fmt.Errorf("read %s: %w", t.target.File, err)
		}
		s.digest = Digest(s.content)
	}
	return s, t.seeProcesses(ctx, &s)
}

func (t *shell) seeProcesses(ctx context.Context, s *seen) (err error) {
	if s.inside, err = t.look(ctx); err == nil {
		s.master, err = s.findMaster()
	}
	s.workers = s.workersOf(s.master)
	return err
}

func (t *shell) file(ctx context.Context) ([]byte, error) {
	text, err := t.run(ctx, nil, readScript)
	if err == nil && len(text) > MaxContent {
		err = fmt.Errorf("more than %d MiB", MaxContent>>20)
	}
	return text, err
}

func (t *shell) has(ctx context.Context, digest string) (bool, error) {
	text, err := t.file(ctx)
	return err == nil && Digest(text) == digest, err
}

// digest has the container compute the digest of its file; empty when it cannot.
func (t *shell) digest(ctx context.Context) string {
	out, err := t.run(ctx, nil, digestScript)
	sum, _, _ := strings.Cut(string(out), " ")
	if raw, malformed := hex.DecodeString(sum); err != nil || malformed != nil || len(raw) != sha256.Size {
		return ""
	}
	return sum
}

func (t *shell) look(ctx context.Context) (inside, error) {
	out, err := t.run(ctx, nil, lookScript)
	if err != nil {
		return inside{}, fmt.Errorf("look at the processes: %w", err)
	}
	return parseInside(string(out))
}

func (t *shell) observe(ctx context.Context, content bool) (Observation, error) {
	s, err := t.see(ctx, content)
	if err != nil {
		return Observation{}, err
	}
	o := Observation{Time: time.Now(), Content: s.content, Digest: s.digest, Transport: "shell", Old: max(0, len(s.workers)-1)}
	if n := len(s.workers); n > 0 {
		o.Uptime = s.age(s.workers[n-1])
	}
	o.Version, err = t.askVersion(ctx)
	return o, err
}

// askVersion asks HAProxy for its version once.
func (t *shell) askVersion(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.version != "" {
		return t.version, nil
	}
	r, err := t.exec(ctx, nil, "haproxy", "-v")
	if err != nil {
		return "", err
	}
	// "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/"
	f := strings.Fields(string(r.Stdout))
	if len(f) < 3 || f[1] != "version" {
		return "", fmt.Errorf("haproxy -v: %s", failure(r))
	}
	t.version = f[2]
	return t.version, nil
}

func (t *shell) check(ctx context.Context, content []byte) error {
	s, err := t.see(ctx, true)
	if err == nil {
		err = t.checkIn(ctx, s, content)
	}
	return err
}

// checkIn asks HAProxy over its standard input, and looks for addresses that are taken.
func (t *shell) checkIn(ctx context.Context, s seen, content []byte) error {
	r, err := t.exec(ctx, content, "haproxy", "-c", "-W", "-f", stdinFile)
	if err == nil && r.ExitCode == killed {
		err = errors.New(failure(r))
	}
	if err != nil {
		return fmt.Errorf("haproxy -c: %w", err)
	}
	if noProgram(r, nil) {
		return &RefusedError{errors.New("the image has no haproxy in its PATH")}
	}
	if err := refusal(binary.Read(string(r.Stderr), stdinFile, string(content), r.ExitCode == 0), stdinFile, t.target.Document); err != nil {
		return &RefusedError{err}
	}
	if err := taken(s.inside, bindsOf(string(s.content)), bindsOf(string(content))); err != nil {
		return &RefusedError{fmt.Errorf("%s: %w", t.target.Document, err)}
	}
	return nil
}

// bindsOf is what a configuration listens on over TCP, as far as no variables say it.
func bindsOf(content string) []binary.Bind {
	return slices.DeleteFunc(binary.Binds(content, nil), func(b binary.Bind) bool { return b.Network != "tcp" })
}

// refusal is the error of a report, with the document in place of the file.
func refusal(r *binary.Report, file, document string) error {
	for i, m := range r.Alerts {
		if m.File == file {
			r.Alerts[i].File = document
		}
	}
	return r.Err()
}

func (t *shell) apply(ctx context.Context, content []byte, trust bool) error {
	s, err := t.see(ctx, true)
	if err == nil && !trust {
		err = t.checkIn(ctx, s, content)
	}
	if err != nil {
		return asAbsent(err)
	}
	if err := t.write(ctx, content); err != nil {
		return &RefusedError{fmt.Errorf("write %s: %w", t.target.File, err)}
	}
	forward, cancel := halfOf(ctx)
	defer cancel()
	if _, err = t.run(forward, nil, swapScript); err != nil {
		err = fmt.Errorf("put %s in place: %w", t.target.File, err)
	} else {
		err = t.reload(forward, s, content)
	}
	if err != nil {
		return t.restore(ctx, s, err)
	}
	return nil
}

// halfOf leaves half of the time for the way back.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(end)/2)
	}
	return context.WithCancel(ctx)
}

func (t *shell) write(ctx context.Context, content []byte) error {
	back, err := t.run(ctx, content, writeScript)
	if err == nil && Digest(back) != Digest(content) {
		err = fmt.Errorf("%d bytes arrived of %d", len(back), len(content))
	}
	if err != nil {
		_, _ = t.run(ctx, nil, dropScript) // HAProxy does not read it
	}
	return err
}

// restore puts the old file in place and reloads it: then why is a *RefusedError.
func (t *shell) restore(ctx context.Context, s seen, why error) error {
	// A command that hangs may go on later; without the new file it does no harm.
	_, err := t.run(ctx, nil, dropScript)
	if err == nil {
		err = t.restoreFile(ctx, s.digest)
	}
	now := s
	if err == nil {
		err = t.seeProcesses(ctx, &now)
	}
	if err == nil {
		err = t.reload(ctx, now, s.content)
	}
	if err != nil {
		return fmt.Errorf("%w; putting back what was there failed: %w", why, err)
	}
	return &RefusedError{fmt.Errorf("%w; what was there before runs again", why)}
}

// restoreFile puts the old file in place, unless it is still there.
func (t *shell) restoreFile(ctx context.Context, digest string) error {
	there, err := t.has(ctx, digest)
	if err == nil && !there {
		if _, err = t.run(ctx, nil, backScript); err == nil {
			there, err = t.has(ctx, digest)
		}
	}
	if err == nil && !there {
		err = errors.New("the old file is not what it was")
	}
	return err
}

// reload signals HAProxy and waits for the proof that it has read the file: a new worker
// stays, every address is listened on, and the file is the one that was meant.
func (t *shell) reload(ctx context.Context, s seen, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	if n := len(s.workers); n > 0 {
		if err := clock.Sleep(ctx, youngest-s.age(s.workers[n-1])); err != nil {
			return err
		}
	}
	wanted := bindsOf(string(content))
	since := t.newestLine(ctx)
	if err := t.signal(ctx, s.master.pid); err != nil {
		return err
	}
	signalled, proven, missing := time.Now(), time.Time{}, noWorker
	for {
		if clock.Sleep(ctx, lookAgain) != nil {
			return fmt.Errorf("the reload is not proven: %s", cmp.Or(missing, "the new worker was not seen for long enough"))
		}
		success, err := t.loaded(ctx, since, content)
		if err != nil {
			return err
		}
		now, err := t.look(ctx)
		if err != nil && ctx.Err() != nil {
			continue // the time is up
		}
		if err != nil {
			return err
		}
		switch missing = reloaded(s.inside, now, wanted); {
		case missing == "" && proven.IsZero():
			proven = time.Now()
		case missing == "" && (success || time.Since(proven) >= settled):
			return t.holds(ctx, content)
		case missing != "":
			proven = time.Time{}
			if missing == noWorker && time.Since(signalled) > signalAgain {
				if err := t.signal(ctx, s.master.pid); err != nil {
					return err
				}
				signalled = time.Now()
			}
		}
	}
}

func (t *shell) signal(ctx context.Context, master int) error {
	if master == 1 {
		return t.engine.ContainerSignal(ctx, t.id, "USR2")
	}
	_, err := t.run(ctx, nil, signalScript, strconv.Itoa(master))
	return err
}

// newestLine is the time of the newest line of the log; zero when it cannot be read.
func (t *shell) newestLine(ctx context.Context) time.Time {
	lines, err := t.engine.ContainerLog(ctx, t.id, 1)
	if err != nil || len(lines) == 0 {
		return time.Time{}
	}
	return lines[len(lines)-1].Time
}

// loaded reads in the log, if there is one, what HAProxy says of loading since a time.
func (t *shell) loaded(ctx context.Context, since time.Time, content []byte) (success bool, _ error) {
	lines, err := t.engine.ContainerLog(ctx, t.id, 200)
	if err != nil {
		return false, nil //nolint:nilerr // see above
	}
	success, report := loadedLines(lines, since, t.target.File, content)
	if report == nil {
		return success, nil
	}
	return false, refusal(report, t.target.File, t.target.Document)
}

// loadedLines is loaded for lines of the log; a report is of a failure.
func loadedLines(lines []dockerapi.LogLine, since time.Time, file string, content []byte) (success bool, _ *binary.Report) {
	text := ""
	for _, line := range lines {
		if line.Time.After(since) {
			text += line.Text + "\n"
		}
	}
	if strings.Contains(text, "Loading failure") {
		return false, binary.Read(text, file, string(content), false)
	}
	return strings.Contains(text, "Loading success"), nil
}

func (t *shell) holds(ctx context.Context, content []byte) error {
	there, err := t.has(ctx, Digest(content))
	if err == nil && !there {
		err = errors.New("the file in the container is not the one that was meant: another program writes it")
	}
	return err
}
