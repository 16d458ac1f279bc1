package driver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/binary"
)

// stdinFile is the name under which a command reads its standard input.
const stdinFile = "/dev/stdin"

// The commands that a container without the agent is given. No text from outside is
// part of them: $1 is the path of the configuration out of the fleet file, $2 a
// process number. They need sh, cat, cp, mv and rm, which are in every image made of a
// distribution. See also lookScript.
const (
	readScript = `[ ! -L "$1" ] || { echo "$1 is a symbolic link: name the file itself" >&2; exit 3; }
exec cat "$1"`
	// With a sha256sum there, the file need not cross the network to be compared.
	digestScript = `[ ! -L "$1" ] && exec sha256sum < "$1"`
	// The copy gives the new file owner and mode of the old one. Reading back finds a
	// full disk.
	writeScript = `cp -p "$1" "$1.fairway-new" && cat > "$1.fairway-new" && exec cat "$1.fairway-new"`
	swapScript  = `cp -p "$1" "$1.fairway-old" && exec mv -f "$1.fairway-new" "$1"`
	backScript  = `exec mv -f "$1.fairway-old" "$1"`
	dropScript  = `exec rm -f "$1.fairway-new"`
	// Docker's signal reaches HAProxy only where it is the container's first process.
	signalScript = `kill -USR2 "$2"`
)

// Times of a reload. HAProxy needs 2.2 s to find out that an address is taken, and
// about one second for a configuration of ten thousand backends.
const (
	lookAgain = 150 * time.Millisecond
	// signalAgain is how long a new worker is waited for before the signal is sent
	// again: HAProxy 2.6 loses one that comes while it reloads.
	signalAgain = 4 * time.Second
	// settled is how long a new worker must have stayed where HAProxy's log does
	// not say that loading was a success.
	settled = 3 * time.Second
	// proofTime is how long a reload may take, also on a host whose cores are all busy.
	proofTime = 30 * time.Second
	// youngest is the least age of a worker before the next reload: a signal at
	// start kills HAProxy up to 2.8.
	youngest = time.Second
)

// shell is a container with HAProxy and a shell, but without the agent.
type shell struct {
	engine Engine
	target Target
	stats  statsPage

	mu        sync.Mutex
	container string // the ID of the container whose version is known
	version   string
}

// run runs one of the scripts.
func (t *shell) run(ctx context.Context, id string, stdin []byte, script string, args ...string) (dockerapi.ExecResult, error) {
	r, err := t.engine.ContainerExec(ctx, id, dockerapi.Exec{
		Args: append([]string{"sh", "-c", script, "fairway", t.target.File}, args...), User: "0", Stdin: stdin,
		MaxOutput: MaxContent + 1, Timeout: left(ctx),
	})
	if noProgram(r, err) {
		return r, errors.New("the image has neither fairway nor a shell: put one of them into it")
	}
	if err == nil && r.ExitCode != 0 {
		r.Stdout = nil // of a command that failed, only what it says of that counts
		err = errors.New(failure(r))
	}
	return r, err
}

// left is the time that ctx has left, in the place of the client's own limit; zero,
// which stands for that limit, without a deadline.
func left(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(time.Until(end), time.Millisecond)
	}
	return 0
}

// seen is what is known of a container before something is done to it.
type seen struct {
	id      string
	content []byte // where it was asked for
	digest  string
	inside
	master  process
	workers []process
}

// see reads the configuration and the processes of a container.
func (t *shell) see(ctx context.Context, id string, content bool) (seen, error) {
	s := seen{id: id}
	if !content {
		s.digest = t.digest(ctx, id)
	}
	if s.digest == "" {
		text, err := t.file(ctx, id)
		if err != nil {
			return s, fmt.Errorf("read %s: %w", t.target.File, err)
		}
		s.content, s.digest = text, Digest(text)
	}
	return s, t.seeProcesses(ctx, &s)
}

// seeProcesses reads the processes of the container anew.
func (t *shell) seeProcesses(ctx context.Context, s *seen) (err error) {
	if s.inside, err = t.look(ctx, s.id); err != nil {
		return err
	}
	if s.master, err = s.inside.findMaster(); err != nil {
		return err
	}
	s.workers = s.workersOf(s.master)
	return nil
}

// file reads the configuration.
func (t *shell) file(ctx context.Context, id string) ([]byte, error) {
	r, err := t.run(ctx, id, nil, readScript)
	if err == nil && len(r.Stdout) > MaxContent {
		err = fmt.Errorf("more than %d MiB", MaxContent>>20)
	}
	return r.Stdout, err
}

// digest has the container compute the digest of its file; empty when it cannot.
func (t *shell) digest(ctx context.Context, id string) string {
	r, err := t.run(ctx, id, nil, digestScript)
	if err != nil {
		return ""
	}
	sum, _, _ := strings.Cut(string(r.Stdout), " ")
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return sum
}

func (t *shell) look(ctx context.Context, id string) (inside, error) {
	r, err := t.run(ctx, id, nil, lookScript)
	if err != nil {
		return inside{}, fmt.Errorf("look at the processes: %w", err)
	}
	return parseInside(string(r.Stdout))
}

func (t *shell) observe(ctx context.Context, id string, content bool) (Observation, error) {
	s, err := t.see(ctx, id, content)
	if err != nil {
		return Observation{}, err
	}
	o := Observation{Time: time.Now(), Content: s.content, Digest: s.digest, Transport: "shell", Old: max(0, len(s.workers)-1)}
	if n := len(s.workers); n > 0 {
		o.Uptime = s.age(s.workers[n-1])
	}
	o.Version, err = t.versionOf(ctx, id)
	return o, err
}

// versionOf asks HAProxy for its version, once for each container.
func (t *shell) versionOf(ctx context.Context, id string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.container == id {
		return t.version, nil
	}
	r, err := t.engine.ContainerExec(ctx, id, dockerapi.Exec{Args: []string{"haproxy", "-v"}, User: "0", Timeout: left(ctx)})
	if err != nil {
		return "", err
	}
	// "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/"
	f := strings.Fields(string(r.Stdout))
	if len(f) < 3 || f[1] != "version" {
		return "", fmt.Errorf("haproxy -v: %s", failure(r))
	}
	t.container, t.version = id, f[2]
	return t.version, nil
}

func (t *shell) check(ctx context.Context, id string, content []byte) error {
	s, err := t.see(ctx, id, true)
	if err != nil {
		return err
	}
	return t.checkIn(ctx, s, content)
}

// checkIn asks HAProxy over its standard input, so that nothing is written, and
// then looks for addresses that are taken.
func (t *shell) checkIn(ctx context.Context, s seen, content []byte) error {
	r, err := t.engine.ContainerExec(ctx, s.id, dockerapi.Exec{
		Args: []string{"haproxy", "-c", "-W", "-f", stdinFile}, User: "0", Stdin: content, Timeout: left(ctx),
	})
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
	if err := taken(s.inside, bindsOf(s.content), bindsOf(content)); err != nil {
		return &RefusedError{fmt.Errorf("%s: %w", t.target.Document, err)}
	}
	return nil
}

// bindsOf is what a configuration listens on. Variables of the container's
// environment are not known here, and lines with them are left out.
func bindsOf(content []byte) []binary.Bind {
	return binary.Binds(string(content), nil)
}

// refusal is the error of a report, with the document in place of the file's
// name.
func refusal(r *binary.Report, file, document string) error {
	for i, m := range r.Alerts {
		if m.File == file {
			r.Alerts[i].File = document
		}
	}
	return r.Err()
}

func (t *shell) apply(ctx context.Context, id string, content []byte, trust bool) error {
	s, err := t.see(ctx, id, true)
	if err == nil && !trust {
		err = t.checkIn(ctx, s, content)
	}
	if err != nil {
		return asAbsent(err)
	}
	if err := t.write(ctx, id, content); err != nil {
		return &RefusedError{fmt.Errorf("write %s: %w", t.target.File, err)}
	}
	forward, cancel := halfOf(ctx)
	defer cancel()
	if err := t.change(forward, s, content); err != nil {
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

// write puts the configuration beside the one that is in use.
func (t *shell) write(ctx context.Context, id string, content []byte) error {
	r, err := t.run(ctx, id, content, writeScript)
	if err == nil && Digest(r.Stdout) != Digest(content) {
		err = fmt.Errorf("%d bytes arrived of %d", len(r.Stdout), len(content))
	}
	if err != nil {
		_, _ = t.run(ctx, id, nil, dropScript) // HAProxy does not read it
	}
	return err
}

// change puts what was written in place of the file and reloads it.
func (t *shell) change(ctx context.Context, s seen, content []byte) error {
	if _, err := t.run(ctx, s.id, nil, swapScript); err != nil {
		return fmt.Errorf("put %s in place: %w", t.target.File, err)
	}
	return t.reload(ctx, s, content)
}

// restore puts the old file in place and reloads it. why is the error that led here.
// The result is a *RefusedError when that has worked.
func (t *shell) restore(ctx context.Context, s seen, why error) error {
	// A command that hangs may go on later; without the new file it does no harm.
	_, err := t.run(ctx, s.id, nil, dropScript)
	if err == nil {
		err = t.restoreFile(ctx, s)
	}
	if err == nil {
		now := s
		if err = t.seeProcesses(ctx, &now); err == nil {
			err = t.reload(ctx, now, s.content)
		}
	}
	if err != nil {
		return fmt.Errorf("%w; putting back what was there failed: %w", why, err)
	}
	return &RefusedError{fmt.Errorf("%w; what was there before runs again", why)}
}

// restoreFile puts the old file in place, unless it is still there.
func (t *shell) restoreFile(ctx context.Context, s seen) error {
	text, err := t.file(ctx, s.id)
	if err != nil || Digest(text) == s.digest {
		return err
	}
	if _, err := t.run(ctx, s.id, nil, backScript); err != nil {
		return err
	}
	if text, err = t.file(ctx, s.id); err == nil && Digest(text) != s.digest {
		err = errors.New("the old file is not what it was")
	}
	return err
}

// reload signals HAProxy to read its file again and waits until it is proven that
// it has: a new worker is there in the place of the old ones and stays, every
// address of the configuration is listened on, and the file is the one that was
// meant.
func (t *shell) reload(ctx context.Context, s seen, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	if n := len(s.workers); n > 0 {
		if err := clock.Sleep(ctx, youngest-s.age(s.workers[n-1])); err != nil {
			return err
		}
	}
	wanted := bindsOf(content)
	since := t.newestLine(ctx, s.id)
	if err := t.signal(ctx, s.id, s.master.pid); err != nil {
		return err
	}
	signalled, proven, missing := time.Now(), time.Time{}, noWorker
	for {
		if err := clock.Sleep(ctx, lookAgain); err != nil {
			return fmt.Errorf("the reload is not proven: %s", missing)
		}
		success, err := t.loaded(ctx, s.id, since, content)
		if err != nil {
			return err
		}
		now, err := t.look(ctx, s.id)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("the reload is not proven: %s", missing)
			}
			return err
		}
		switch missing = reloaded(s.inside, now, wanted); {
		case missing == "" && proven.IsZero():
			proven = time.Now()
		case missing == "" && (success || time.Since(proven) >= settled):
			return t.holds(ctx, s.id, content)
		case missing != "":
			proven = time.Time{}
			if missing == noWorker && time.Since(signalled) > signalAgain {
				if err := t.signal(ctx, s.id, s.master.pid); err != nil {
					return err
				}
				signalled = time.Now()
			}
		}
	}
}

// signal makes the master reload.
func (t *shell) signal(ctx context.Context, id string, master int) error {
	if master == 1 {
		return t.engine.ContainerSignal(ctx, id, "USR2")
	}
	_, err := t.run(ctx, id, nil, signalScript, strconv.Itoa(master))
	return err
}

// newestLine is the time of the newest line that the container has logged; zero
// when its log cannot be read.
func (t *shell) newestLine(ctx context.Context, id string) time.Time {
	lines, err := t.engine.ContainerLog(ctx, id, 1)
	if err != nil || len(lines) == 0 {
		return time.Time{}
	}
	return lines[len(lines)-1].Time
}

// loaded reads in the log what HAProxy has written of loading since a time: success,
// an error with its words, or nothing. A log that cannot be read has nothing.
func (t *shell) loaded(ctx context.Context, id string, since time.Time, content []byte) (success bool, _ error) {
	lines, err := t.engine.ContainerLog(ctx, id, 200)
	if err != nil {
		return false, nil //nolint:nilerr // the processes alone prove it then
	}
	success, report := loadedLines(lines, since, t.target.File, content)
	if report == nil {
		return success, nil
	}
	return false, refusal(report, t.target.File, t.target.Document)
}

// loadedLines is loaded for lines of the log; a report is of a failure.
func loadedLines(lines []dockerapi.LogLine, since time.Time, file string, content []byte) (success bool, _ *binary.Report) {
	var text strings.Builder
	failed := false
	for _, line := range lines {
		if !line.Time.After(since) {
			continue
		}
		text.WriteString(line.Text + "\n")
		success = success || strings.Contains(line.Text, "Loading success")
		failed = failed || strings.Contains(line.Text, "Loading failure")
	}
	if !failed {
		return success, nil
	}
	return false, binary.Read(text.String(), file, string(content), false)
}

// holds proves that the file is the one that was meant.
func (t *shell) holds(ctx context.Context, id string, content []byte) error {
	text, err := t.file(ctx, id)
	if err == nil && Digest(text) != Digest(content) {
		err = errors.New("the file in the container is not the one that was meant: another program writes it")
	}
	return err
}

func (t *shell) read(ctx context.Context, _ string) (Reading, error) { return t.stats.read(ctx) }
