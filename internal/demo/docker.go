package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"fairway/internal/dockerapi"
)

// mark is the label on the image of a demo, and therefore on each of its
// containers; its value says which process on which machine it belongs to. It
// is outside of "fairway.", since it is no business of the compiler.
const mark = "fairway-demo"

// engine is what the demo asks of Docker.
type engine interface {
	Info(ctx context.Context) (dockerapi.Info, error)
	Host() dockerapi.Host
	URL() string
	ContainerList(ctx context.Context, all bool) ([]dockerapi.Container, error)
	ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (string, error)
	ContainerStart(ctx context.Context, id string) error
	ContainerStop(ctx context.Context, id string, grace time.Duration) error
	ContainerRemove(ctx context.Context, id string, force bool) error
	ImageImport(ctx context.Context, ref string, archive io.Reader, changes []string) error
	ImageRemove(ctx context.Context, ref string, force bool) error
	Close()
}

// dockerStage runs the services as containers.
type dockerStage struct {
	engine engine
	image  string
	owner  string // value of mark
	// publish makes ports of the containers reachable on the engine's machine,
	// for engines whose networks this machine is not part of.
	publish bool
	ids     map[string]string // container ID by instance name
}

func newDockerStage(ctx context.Context, p *printer, e engine, binary, dir string) (_ stage, err error) {
	hostname, err := os.Hostname()
	if err != nil {
		e.Close()
		return nil, err
	}
	pid := os.Getpid()
	s := &dockerStage{
		engine: e,
		image:  mark + ":" + strconv.Itoa(pid),
		owner:  hostname + "/" + strconv.Itoa(pid),
		ids:    map[string]string{},
	}
	defer func() {
		if err != nil {
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
			defer cancel()
			err = errors.Join(err, s.Close(tidy))
		}
	}()
	info, err := e.Info(ctx)
	if err != nil {
		return nil, err
	}
	s.publish = info.Enclosed || !e.Host().Local
	p.line("  Docker Engine %s at %s", info.Version, e.URL())
	if err := s.sweep(ctx, p, hostname); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, imageNote), []byte(s.image), 0o600); err != nil {
		return nil, err
	}
	p.begin("making the image %s, from nothing but this program", s.image)
	err = s.makeImage(ctx, binary)
	p.done(err)
	return s, err
}

// sweep removes what killed demos on this machine left behind.
func (s *dockerStage) sweep(ctx context.Context, p *printer, hostname string) error {
	err := s.remove(ctx, func(c dockerapi.Container) bool {
		host, pid, _ := strings.Cut(c.Labels[mark], "/")
		n, err := strconv.Atoi(pid)
		left := err == nil && host == hostname && n != os.Getpid() && !alive(n)
		if left {
			p.line("  removing %s, left by a demo that was killed", c.Name)
		}
		return left
	})
	return errors.Join(err, removeLeftovers(func(ref string) error { return s.removeImage(ctx, ref) }))
}

// removeImage removes an image, if it is there.
func (s *dockerStage) removeImage(ctx context.Context, ref string) error {
	return unlessMissing(s.engine.ImageRemove(ctx, ref, true))
}

// unlessMissing drops the error that something to be removed is not there.
func unlessMissing(err error) error {
	if dockerapi.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *dockerStage) makeImage(ctx context.Context, binary string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeImage(w, binary)) }()
	defer r.Close()
	return s.engine.ImageImport(ctx, s.image, r, []string{
		`ENTRYPOINT ["/fairway","whoami"]`,
		fmt.Sprintf(`CMD ["--lame-duck=%s"]`, lameDuck),
		"EXPOSE 80",
		fmt.Sprintf("LABEL %s=%s", mark, s.owner),
	})
}

func (s *dockerStage) Start(ctx context.Context, i instance) error {
	labels := map[string]string{"fairway.service": i.service}
	maps.Copy(labels, i.labels)
	port := network.MustParsePort("80/tcp")
	o := client.ContainerCreateOptions{
		// A name of its own for each run: two demos may run side by side.
		Name: fmt.Sprintf("%s-%d-%s", mark, os.Getpid(), i.name()),
		Config: &container.Config{
			Image:  s.image,
			Cmd:    []string{"--name=" + i.name(), "--lame-duck=" + lameDuck.String()},
			Labels: labels,
		},
		HostConfig: &container.HostConfig{},
	}
	if s.publish {
		o.HostConfig.PortBindings = network.PortMap{port: []network.PortBinding{{}}}
	}
	id, err := s.engine.ContainerCreate(ctx, o)
	if err != nil {
		return err
	}
	s.ids[i.name()] = id
	return s.engine.ContainerStart(ctx, id)
}

func (s *dockerStage) Stop(ctx context.Context, name string) error {
	id := s.ids[name]
	if err := s.engine.ContainerStop(ctx, id, 10*time.Second); err != nil {
		return err
	}
	if err := s.engine.ContainerRemove(ctx, id, true); err != nil {
		return err
	}
	delete(s.ids, name)
	return nil
}

func (s *dockerStage) Words() words {
	return words{"container", "containers", "docker run --rm -l fairway.host=mine.localhost " + s.image}
}

// Close removes the containers, also those that others have made from the
// image, and the image.
func (s *dockerStage) Close(ctx context.Context) error {
	err := s.remove(ctx, func(c dockerapi.Container) bool { return c.Labels[mark] == s.owner })
	err = errors.Join(err, s.removeImage(ctx, s.image))
	s.engine.Close()
	return err
}

// remove removes the containers that which chooses, all at once, and the images
// of demos that they were made from, but for the own.
func (s *dockerStage) remove(ctx context.Context, which func(dockerapi.Container) bool) error {
	list, err := s.engine.ContainerList(ctx, true)
	if err != nil {
		return err
	}
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed []error
		images = map[string]bool{}
	)
	for _, c := range list {
		if !which(c) {
			continue
		}
		if strings.HasPrefix(c.Image, mark+":") && c.Image != s.image {
			images[c.Image] = true
		}
		wg.Go(func() {
			err := unlessMissing(s.engine.ContainerRemove(ctx, c.ID, true))
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		})
	}
	wg.Wait()
	for image := range images {
		failed = append(failed, s.removeImage(ctx, image))
	}
	return errors.Join(failed...)
}
