package demo

import (
	"context"
	"fmt"
	"slices"
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
	for k, v := range labels {
		parts = append(parts, "-l "+k+"="+v)
	}
	slices.Sort(parts)
	text := ""
	for _, p := range parts {
		text += " " + p
	}
	return text[min(1, len(text)):]
}

// stage is where the services run.
type stage interface {
	// Start returns when the instance runs; it may not listen yet.
	Start(ctx context.Context, i instance) error
	// Stop tells the instance to stop, lets it finish, and removes it.
	Stop(ctx context.Context, name string) error
	// Close removes everything that the stage has made.
	Close(ctx context.Context) error
	// Words says how to speak of the instances.
	Words() words
}

// words say what instances are called, and how a person would start another one
// with a label, in a line.
type words struct{ one, several, start string }

// The stages are told about the instance that leaves for lameDuck before it
// stops listening.
const lameDuck = 500 * time.Millisecond

// newStage chooses between containers and processes, prepares the choice, and
// makes cfg watch it.
func newStage(ctx context.Context, p *printer, o Options, cfg *app.Config, dir string) (stage, error) {
	if o.Processes {
		p.line("  as asked for, the services are processes instead of containers, and a services file")
		return newProcessStage(o.Executable, cfg, dir)
	}
	engine, err := findEngine(ctx, cfg)
	if err != nil {
		if o.Docker != "" {
			return nil, err
		}
		p.line("  no Docker Engine answers (%v):", err)
		p.line("  the services are processes instead of containers, and a services file")
		return newProcessStage(o.Executable, cfg, dir)
	}
	binary, err := staticBinary(ctx, p, o.Executable, dir)
	if err != nil {
		p.line("  this program cannot run in an empty image (%v):", err)
		p.line("  the services are processes instead of containers, and a services file")
		engine.Close()
		return newProcessStage(o.Executable, cfg, dir)
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
		return nil, fmt.Errorf("demo: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := engine.Ping(ping); err != nil {
		engine.Close()
		return nil, fmt.Errorf("demo: %w", err)
	}
	cfg.Docker = cfg.Docker[:1]
	return engine, nil
}
