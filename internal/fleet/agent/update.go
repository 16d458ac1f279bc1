package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"fairway/internal/engine/haproxy/process"
)

// Update fetches the configuration, checks it and puts it in place, with a copy
// of the one before, unless it is the one in place. It does not reload. The error says
// why it was refused, and is in the log.
func (a *Agent) Update(ctx context.Context) (changed bool, _ error) {
	got, err := a.download(ctx)
	if err != nil {
		return false, err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return false, a.failed(err)
	}
	defer unlock()
	return a.install(ctx, got.content, a.held(ctx), false)
}

// failed logs an error and returns it.
func (a *Agent) failed(err error) error {
	a.say("%v", err)
	return err
}

func (a *Agent) download(ctx context.Context) (fetched, error) {
	_, from, err := a.address()
	if err != nil {
		return fetched{}, a.failed(err)
	}
	a.say("Starting download of %s to %s ...", from, a.temp())
	got, err := a.fetch(ctx)
	if err != nil {
		return fetched{}, a.failed(fmt.Errorf("download of configuration file %s failed: %w", a.temp(), err))
	}
	a.say("Download of configuration file %s: success.", a.temp())
	return got, nil
}

// held are the processes of the HAProxy that runs under this agent; none when
// none does.
func (a *Agent) held(ctx context.Context) []int {
	p, _, err := a.running(ctx)
	if err != nil {
		return nil
	}
	return p.Pids(ctx)
}

// install checks a content and puts it in place, unless it is there already. With trust
// it is one that ran before and is not checked. The caller holds the lock.
func (a *Agent) install(ctx context.Context, content []byte, pids []int, trust bool) (changed bool, _ error) {
	if err := replace(a.temp(), content, modeOf(a.current())); err != nil {
		return false, a.failed(fmt.Errorf("storage: %w", err))
	}
	before, err := read(a.current())
	if err != nil {
		return false, a.failed(fmt.Errorf("storage: %w", err))
	}
	if before != nil && bytes.Equal(before, content) {
		a.say("The configuration file %s.cfg is the same, no need to update.", a.o.Name)
		return false, nil
	}
	if !trust {
		if err := a.check(ctx, a.temp(), content, before, pids); err != nil {
			return false, a.failed(fmt.Errorf("configuration file %s is invalid: %w", a.temp(), err))
		}
		a.say("Configuration file %s is valid.", a.temp())
	}
	if err := a.cover(content, before); err != nil {
		return false, a.failed(fmt.Errorf("cover %s with %s failed: %w", a.current(), a.temp(), err))
	}
	a.say("Cover %s with %s: success.", a.current(), a.temp())
	a.say("%s is updated.", a.current())
	return true, nil
}

// cover copies what is there and puts the content in its place.
func (a *Agent) cover(content, before []byte) error {
	mode := modeOf(a.current())
	if before == nil {
		a.say("%s is not there yet: the first release, nothing to copy.", a.current())
	} else if err := a.keep(before, mode); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return replace(a.current(), content, mode)
}

// reloadTime bounds a reload, and putting back what was there before.
const reloadTime = 30 * time.Second

// errRestored is joined to the reason of a failure when what was there before
// runs again.
var errRestored = errors.New("what was there before runs again")

// reload makes HAProxy read the file that is in place and proves it; one that was
// not checked in this moment is checked first, because HAProxy stops listening
// for a while when an address is taken. What HAProxy does not take is replaced by
// the last file that ran. The caller holds the lock.
func (a *Agent) reload(ctx context.Context, p *process.Process, checked bool) error {
	content, err := read(a.current())
	if err == nil && content == nil {
		err = fmt.Errorf("%s is not there", a.current())
	}
	good, goodErr := read(a.good())
	begun := false
	if err == nil && !checked && !bytes.Equal(good, content) {
		err = a.check(ctx, a.current(), content, good, p.Pids(ctx))
	}
	if err == nil {
		begun = true
		err = a.prove(ctx, p, content)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	if goodErr != nil || good == nil || bytes.Equal(good, content) {
		return fmt.Errorf("reload: %w; there is no other file that ran to go back to", err)
	}
	if back := replace(a.current(), good, modeOf(a.current())); back != nil {
		return fmt.Errorf("reload: %w; and what was there before cannot be put back: %w", err, back)
	}
	if errors.Is(err, process.ErrGone) {
		return fmt.Errorf("reload: %w; what was there before is in place and is started", err)
	}
	if begun {
		if back := a.prove(ctx, p, good); back != nil {
			return fmt.Errorf("reload: %w; and what was there before does not run: %w", err, back)
		}
	}
	return fmt.Errorf("reload: %w; %w", err, errRestored)
}

// prove reloads with a content that is in place and remembers it as good.
func (a *Agent) prove(ctx context.Context, p *process.Process, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	marker, err := a.mark(content)
	if err != nil {
		return err
	}
	done, err := p.Reload(ctx, process.ReloadOptions{Marker: marker})
	if err != nil {
		return err
	}
	a.say("Worker %d serves %s (sha256 %.12s), %s after the reload was asked for.", done.Worker.PID, a.current(), digest(content), done.Took.Round(time.Millisecond))
	a.remember(content)
	return nil
}

// remember notes what a worker was proven to run. It runs, noted or not.
func (a *Agent) remember(content []byte) {
	if known, err := read(a.good()); err == nil && bytes.Equal(known, content) {
		return
	}
	if err := replace(a.good(), content, modeOf(a.current())); err != nil {
		a.say("Storage: %v: it cannot be gone back to what runs now.", err)
	}
}
