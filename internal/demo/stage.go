package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/app"
	"fairway/internal/dockerapi"
)

// instance is one copy of a service to be shown.
type instance struct {
	service string
	number  int
	labels  map[string]string
}

func (i instance) name() string { return fmt.Sprintf("%s-%d", i.service, i.number) }

// labelText is the labels as the options of `docker run`, sorted.
func labelText(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, "-l "+k+"="+labels[k])
	}
	return strings.Join(parts, " ")
}

// stage is where the services run.
type stage interface {
	// Start returns when the instance runs; it may not listen yet.
	Start(ctx context.Context, i instance) error
	// Stop signals the instance, lets it finish, and removes it.
	Stop(ctx context.Context, name string) error
	// Close removes everything that the stage has made.
	Close(ctx context.Context) error
	// Words are what the instances are called.
	Words() words
}

// words say what instances are called, and how a person would start another one
// with a label, in a line.
type words struct{ one, several, start string }

// lameDuck is how long an instance serves on after its signal.
const lameDuck = 500 * time.Millisecond

// newStage chooses between containers and processes, prepares the choice, and
// makes cfg watch it.
func newStage(ctx context.Context, p *printer, o Options, cfg *app.Config, dir string) (stage, error) {
	processes := func(why string) (stage, error) {
		p.line("  %s: the services are processes instead of containers, and a services file", why)
		return newProcessStage(o.Executable, cfg, dir)
	}
	if o.Processes {
		return processes("as asked for")
	}
	engine, err := findEngine(ctx, cfg)
	if err != nil && o.Docker != "" {
		return nil, err
	}
	if err != nil {
		return processes(fmt.Sprintf("no Docker Engine answers (%v)", err))
	}
	binary, err := staticBinary(ctx, p, o.Executable, dir)
	if err != nil {
		engine.Close()
		return processes(fmt.Sprintf("this program cannot run in an empty image (%v)", err))
	}
	return newDockerStage(ctx, p, engine, binary, dir)
}

// findEngine returns a client for the first engine of cfg, which has answered.
func findEngine(ctx context.Context, cfg *app.Config) (*dockerapi.Client, error) {
	engine, err := dockerapi.New(dockerapi.Options{
		URL:    cfg.Docker[0],
		CAFile: cfg.DockerTLS.CA, CertFile: cfg.DockerTLS.Cert, KeyFile: cfg.DockerTLS.Key,
		Insecure: cfg.DockerInsecure,
	})
	if err != nil {
		return nil, err
	}
	ping, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := engine.Ping(ping); err != nil {
		engine.Close()
		return nil, err
	}
	cfg.Docker = cfg.Docker[:1]
	return engine, nil
}
