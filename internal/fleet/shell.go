package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/binary"
)

// stdinFile is the name under which a command reads its standard input.
const stdinFile = "/dev/stdin"

// The commands that a container without the agent is given. None is made of
// anything that somebody wrote: $1 is the path of the configuration out of the
// fleet file, $2 a process number. What they need is in every image that is made
// of a distribution: sh, cat, cp, mv, rm. See also lookScript.
const (
	readScript = `[ ! -L "$1" ] || { echo "$1 is a symbolic link: name the file itself" >&2; exit 3; }
exec cat "$1"`
	// Where there is a sha256sum, not all of a file has to cross the network only
	// to be compared.
	digestScript = `[ ! -L "$1" ] && exec sha256sum < "$1"`
	// The copy gives the new file owner and mode of the old one; what was
	// written is read back, so that a full disk is found here.
	writeScript = `cp -p "$1" "$1.fairway-new" && cat > "$1.fairway-new" && exec cat "$1.fairway-new"`
	swapScript  = `cp -p "$1" "$1.fairway-old" && exec mv -f "$1.fairway-new" "$1"`
	backScript  = `exec mv -f "$1.fairway-old" "$1"`
	dropScript  = `exec rm -f "$1.fairway-new"`
	// Where the first process of the container is not HAProxy, Docker's signal
	// might not reach it.
	signalScript = `kill -USR2 "$2"`
)

// maxContent is the largest configuration taken, in bytes.
const maxContent = 16 << 20

// Times of a reload. HAProxy itself needs 2.2 s to find out that an address is
// taken, and about one second for a configuration of ten thousand backends.
const (
	lookAgain = 150 * time.Millisecond
	// signalAgain is how long a new worker is waited for before HAProxy is told
	// once more: 2.6 loses a signal that comes while it reloads.
	signalAgain = 4 * time.Second
	// settled is how long a new worker must have stayed where HAProxy's log does
	// not say that loading was a success.
	settled = 3 * time.Second
	// proofTime is how long a reload may take.
	proofTime = 12 * time.Second
	// youngest is the least age of a worker before the next reload: a signal at
	// start kills HAProxy up to 2.8.
	youngest = time.Second
)

// shell is a container with HAProxy and a shell, but without the agent.
type shell struct {
	engine Engine
	place  Place
	stats  statsPage

	mu      sync.Mutex
	asked   string // the container whose version is known
	version string
}

// run runs one of the scripts.
func (h *shell) run(ctx context.Context, id string, stdin []byte, script string, args ...string) (dockerapi.ExecResult, error) {
	r, err := h.engine.ContainerExec(ctx, id, dockerapi.Exec{
		Args: append([]string{"sh", "-c", script, "fairway", h.place.File}, args...), User: "0", Stdin: stdin,
		MaxOutput: maxContent + 1, Timeout: left(ctx),
	})
	if noProgram(r, err) {
		return r, errors.New("the image has neither fairway nor a shell: put one of them into it")
	}
	if err == nil && r.ExitCode != 0 {
		r.Stdout = nil // what it was to give, not what it says
		err = errors.New(failure(r))
	}
	return r, err
}

// left is the time that ctx has left; the client's own limit is for calls that
// nobody else limits.
func left(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(time.Until(end), time.Millisecond)
	}
	return 0
}

// seen is what is known of a container before something is done to it.
type seen struct {
	container dockerapi.Container
	content   []byte // where it was asked for
	digest    string
	inside    inside
	master    process
	workers   []process
}

// see finds the container and reads its configuration and processes.
func (h *shell) see(ctx context.Context, content bool) (seen, error) {
	var s seen
	var err error
	if s.container, err = find(ctx, h.engine, h.place); err != nil {
		return s, err
	}
	if !content {
		s.digest = h.digest(ctx, s.container.ID)
	}
	if s.digest == "" {
		r, err := h.run(ctx, s.container.ID, nil, readScript)
		if err != nil {
			return s, fmt.Errorf("read %s: %w", h.place.File, err)
		}
		if len(r.Stdout) > maxContent {
			return s, fmt.Errorf("read %s: more than %d MiB", h.place.File, maxContent>>20)
		}
		s.content, s.digest = r.Stdout, digestOf(r.Stdout)
	}
	if s.inside, err = h.inside(ctx, s.container.ID); err != nil {
		return s, err
	}
	if s.master, err = s.inside.master(); err != nil {
		return s, err
	}
	s.workers = s.inside.workers(s.master)
	return s, nil
}

// digest has the container compute the digest of its file; empty when it cannot.
func (h *shell) digest(ctx context.Context, id string) string {
	r, err := h.run(ctx, id, nil, digestScript)
	if err != nil {
		return ""
	}
	sum, _, _ := strings.Cut(string(r.Stdout), " ")
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return sum
}

func (h *shell) inside(ctx context.Context, id string) (inside, error) {
	r, err := h.run(ctx, id, nil, lookScript)
	if err != nil {
		return inside{}, fmt.Errorf("look at the processes: %w", err)
	}
	return parseInside(string(r.Stdout))
}

func (h *shell) look(ctx context.Context, content bool) (Sight, error) {
	s, err := h.see(ctx, content)
	if err != nil {
		return Sight{}, err
	}
	sight := Sight{
		Time: time.Now(), Content: s.content, Digest: s.digest, Container: s.container.ID, Transport: "shell",
		Old: max(0, len(s.workers)-1),
	}
	if n := len(s.workers); n > 0 {
		sight.Uptime = s.inside.age(s.workers[n-1])
	}
	sight.Version, err = h.versionOf(ctx, s.container.ID)
	return sight, err
}

// versionOf asks HAProxy what it is, once for each container.
func (h *shell) versionOf(ctx context.Context, id string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked == id {
		return h.version, nil
	}
	r, err := h.engine.ContainerExec(ctx, id, dockerapi.Exec{Args: []string{"haproxy", "-v"}, User: "0", Timeout: left(ctx)})
	if err != nil {
		return "", err
	}
	// "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/"
	f := strings.Fields(string(r.Stdout))
	if len(f) < 3 || f[1] != "version" {
		return "", fmt.Errorf("haproxy -v: %s", failure(r))
	}
	h.asked, h.version = id, f[2]
	return h.version, nil
}

func (h *shell) check(ctx context.Context, content []byte) error {
	s, err := h.see(ctx, true)
	if err != nil {
		return err
	}
	return h.checkIn(ctx, s, content)
}

// checkIn asks HAProxy over its standard input, so that nothing is written, and
// then looks for addresses that are taken.
func (h *shell) checkIn(ctx context.Context, s seen, content []byte) error {
	r, err := h.engine.ContainerExec(ctx, s.container.ID, dockerapi.Exec{
		Args: []string{"haproxy", "-c", "-W", "-f", stdinFile}, User: "0", Stdin: content, Timeout: left(ctx),
	})
	if err == nil && r.ExitCode == killed {
		err = errors.New(failure(r))
	}
	if err != nil {
		return fmt.Errorf("haproxy -c: %w", err)
	}
	if noProgram(r, nil) {
		return &RefusedError{Err: errors.New("the image has no haproxy in its PATH")}
	}
	if err := refusal(binary.Read(string(r.Stderr), stdinFile, string(content), r.ExitCode == 0), stdinFile, h.place.Document); err != nil {
		return &RefusedError{Err: err}
	}
	if err := taken(s.inside, bindsOf(s.content), bindsOf(content)); err != nil {
		return &RefusedError{Err: fmt.Errorf("%s: %w", h.place.Document, err)}
	}
	return nil
}

// bindsOf is what a configuration listens on. Variables of the container's
// environment are not known here, and lines with them are left out.
func bindsOf(content []byte) []binary.Bind {
	return binary.Binds(string(content), binary.BindOptions{})
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

func (h *shell) apply(ctx context.Context, content []byte, trust bool) error {
	s, err := h.see(ctx, true)
	if err != nil {
		return asAbsent(err)
	}
	if !trust {
		if err := h.checkIn(ctx, s, content); err != nil {
			return asAbsent(err)
		}
	}
	if err := h.write(ctx, s.container.ID, content); err != nil {
		return &RefusedError{Err: fmt.Errorf("write %s: %w", h.place.File, err)}
	}
	forward, cancel := halfOf(ctx)
	defer cancel()
	if err := h.change(forward, s, content); err != nil {
		return h.back(ctx, s, err)
	}
	return nil
}

// change puts what was written in place of the file and reloads it.
func (h *shell) change(ctx context.Context, s seen, content []byte) error {
	if _, err := h.run(ctx, s.container.ID, nil, swapScript); err != nil {
		return fmt.Errorf("put %s in place: %w", h.place.File, err)
	}
	return h.reload(ctx, s, content)
}

// asAbsent makes an error before anything was changed one that says so.
func asAbsent(err error) error {
	if err == nil {
		return nil
	}
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return err
	}
	if absent := (*AbsentError)(nil); errors.As(err, &absent) {
		return err
	}
	return &AbsentError{err}
}

// halfOf leaves half of the time for the way back.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(end)/2)
	}
	return context.WithCancel(ctx)
}

// write puts the configuration beside the one that is in use.
func (h *shell) write(ctx context.Context, id string, content []byte) error {
	r, err := h.run(ctx, id, content, writeScript)
	if err == nil && digestOf(r.Stdout) != digestOf(content) {
		err = fmt.Errorf("%d bytes arrived of %d", len(r.Stdout), len(content))
	}
	if err != nil {
		_, _ = h.run(ctx, id, nil, dropScript) // nobody reads it
	}
	return err
}

// back puts the old file in place and reloads it. why is the error that led here;
// the answer says whether the way back has worked.
func (h *shell) back(ctx context.Context, s seen, why error) error {
	// A command that hangs may go on one day; without the new file it can do no
	// harm.
	if _, err := h.run(ctx, s.container.ID, nil, dropScript); err != nil {
		return fmt.Errorf("%w; putting back what was there failed: %w", why, err)
	}
	r, err := h.run(ctx, s.container.ID, nil, readScript)
	if err == nil && digestOf(r.Stdout) != digestOf(s.content) {
		if _, err = h.run(ctx, s.container.ID, nil, backScript); err == nil {
			r, err = h.run(ctx, s.container.ID, nil, readScript)
		}
		if err == nil && digestOf(r.Stdout) != digestOf(s.content) {
			err = errors.New("the old file is not what it was")
		}
	}
	if err == nil {
		now := s
		if now.inside, err = h.inside(ctx, s.container.ID); err == nil {
			if now.master, err = now.inside.master(); err == nil {
				now.workers = now.inside.workers(now.master)
				err = h.reload(ctx, now, s.content)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%w; putting back what was there failed: %w", why, err)
	}
	return &RefusedError{Err: why, Back: true}
}

// reload tells HAProxy to read its file again and waits until it is proven that
// it has: a new worker is there in the place of the old ones and stays, every
// address of the configuration is listened on, and the file is the one that was
// meant.
func (h *shell) reload(ctx context.Context, s seen, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	if n := len(s.workers); n > 0 {
		if err := sleep(ctx, youngest-s.inside.age(s.workers[n-1])); err != nil {
			return err
		}
	}
	id, wanted := s.container.ID, bindsOf(content)
	since := h.newestLine(ctx, id)
	if err := h.signal(ctx, id, s.master.pid); err != nil {
		return err
	}
	told, proven, missing := time.Now(), time.Time{}, "no new worker"
	for {
		if err := sleep(ctx, lookAgain); err != nil {
			return fmt.Errorf("the reload is not proven: %s", missing)
		}
		success, err := h.loaded(ctx, id, since, content)
		if err != nil {
			return err
		}
		now, err := h.inside(ctx, id)
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
			return h.holds(ctx, id, content)
		case missing != "":
			proven = time.Time{}
			if missing == "no new worker" && time.Since(told) > signalAgain {
				if err := h.signal(ctx, id, s.master.pid); err != nil {
					return err
				}
				told = time.Now()
			}
		}
	}
}

// signal tells the master to reload.
func (h *shell) signal(ctx context.Context, id string, master int) error {
	if master == 1 {
		return h.engine.ContainerSignal(ctx, id, "USR2")
	}
	_, err := h.run(ctx, id, nil, signalScript, fmt.Sprint(master))
	return err
}

// newestLine is the time of the newest line that the container has logged; zero
// when its log cannot be read.
func (h *shell) newestLine(ctx context.Context, id string) time.Time {
	lines, err := h.engine.ContainerLog(ctx, id, 1)
	if err != nil || len(lines) == 0 {
		return time.Time{}
	}
	return lines[len(lines)-1].Time
}

// loaded reads in the log what HAProxy has said of loading since a time: success,
// an error with its words, or nothing. A log that cannot be read says nothing.
func (h *shell) loaded(ctx context.Context, id string, since time.Time, content []byte) (success bool, _ error) {
	lines, err := h.engine.ContainerLog(ctx, id, 200)
	if err != nil {
		return false, nil //nolint:nilerr // what can be seen of the processes must do
	}
	success, report := loadedLines(lines, since, h.place.File, content)
	if report == nil {
		return success, nil
	}
	return false, refusal(report, h.place.File, h.place.Document)
}

// loadedLines is loaded for lines of the log; a report is of a failure.
func loadedLines(lines []dockerapi.LogLine, since time.Time, file string, content []byte) (success bool, _ *binary.Report) {
	var said strings.Builder
	failed := false
	for _, line := range lines {
		if !line.Time.After(since) {
			continue
		}
		said.WriteString(line.Text + "\n")
		success = success || strings.Contains(line.Text, "Loading success")
		failed = failed || strings.Contains(line.Text, "Loading failure")
	}
	if !failed {
		return success, nil
	}
	return false, binary.Read(said.String(), file, string(content), false)
}

// holds proves that the file is the one that was meant.
func (h *shell) holds(ctx context.Context, id string, content []byte) error {
	r, err := h.run(ctx, id, nil, readScript)
	if err != nil {
		return err
	}
	if digestOf(r.Stdout) != digestOf(content) {
		return errors.New("the file in the container is not the one that was meant: somebody else writes it")
	}
	return nil
}

func (h *shell) read(ctx context.Context) (Reading, error) { return h.stats.read(ctx) }

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
