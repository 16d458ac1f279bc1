package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"go.yaml.in/yaml/v4"

	"fairway/internal/app"
	"fairway/internal/atomicfile"
)

// processStage runs the services as child processes, and keeps a services file about them.
type processStage struct {
	executable string
	file       string
	children   []*child // in the order in which they were started
}

// child is an instance that runs.
type child struct {
	instance
	address string
	process *exec.Cmd
	stdin   io.Closer
	end     context.CancelFunc // asks it to end
}

func newProcessStage(executable string, cfg *app.Config, dir string) (stage, error) {
	s := &processStage{executable: executable, file: filepath.Join(dir, "services.yml")}
	cfg.Docker, cfg.File = nil, []string{s.file}
	return s, errors.Join(removeLeftovers(nil), s.write())
}

func (s *processStage) Start(ctx context.Context, i instance) error {
	address, err := freeAddress(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	c := &child{instance: i, address: address, end: end}
	c.process = exec.CommandContext(running, s.executable, "whoami", //nolint:gosec // the program itself
		"--listen="+address, "--name="+i.name(), "--lame-duck="+lameDuck.String(), "--until-stdin-closes")
	c.process.Cancel = func() error { return c.process.Process.Signal(syscall.SIGTERM) }
	c.process.WaitDelay = lameDuck + 2*shutdownGrace
	c.process.Stderr = os.Stderr
	// Ctrl-C on a terminal goes to the whole process group; children stop later.
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The child ends when its standard input does, also when this process is killed.
	if c.stdin, err = c.process.StdinPipe(); err == nil {
		err = c.process.Start()
	}
	if err != nil {
		end()
		return err
	}
	s.children = append(s.children, c)
	return s.write()
}

// Stop takes the instance out of the file and signals the process at the same
// moment; it serves on for its lame-duck time.
func (s *processStage) Stop(_ context.Context, name string) error {
	at := slices.IndexFunc(s.children, func(c *child) bool { return c.name() == name })
	if at < 0 {
		return fmt.Errorf("no process %s", name)
	}
	c := s.children[at]
	s.children = slices.Delete(s.children, at, at+1)
	return errors.Join(s.write(), c.stop())
}

func (s *processStage) Words() words {
	return words{"process", "processes", "edit " + s.file}
}

func (s *processStage) Close(context.Context) error {
	var failed []error
	// All get the signal before the first is waited for.
	for _, c := range s.children {
		c.end()
	}
	for _, c := range s.children {
		failed = append(failed, c.stop())
	}
	s.children = nil
	return errors.Join(failed...)
}

// stop asks the process to end, and waits for that.
func (c *child) stop() error {
	c.end()
	err := c.process.Wait()
	if status, ok := c.process.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
		return nil // stopped before it had begun to handle signals
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	return nil
}

// write replaces the services file in one step.
func (s *processStage) write() error {
	type service struct {
		Name      string              `yaml:"name"`
		Labels    map[string]string   `yaml:"labels"`
		Instances []map[string]string `yaml:"instances"`
	}
	services := []service{}
	for _, c := range s.children {
		at := slices.IndexFunc(services, func(f service) bool { return f.Name == c.service })
		if at < 0 {
			at = len(services)
			services = append(services, service{Name: c.service, Labels: c.labels})
		}
		services[at].Instances = append(services[at].Instances, map[string]string{"address": c.address})
	}
	text, err := yaml.Marshal(map[string]any{"services": services})
	if err != nil {
		return err
	}
	return atomicfile.Write(s.file, text, 0o600)
}
