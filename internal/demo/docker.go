package demo

import (
	"archive/tar"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"fairway/internal/app"
	"fairway/internal/dockerapi"
)

// mark is the label of what a demo made; its value is the machine and the process.
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
	engine  engine
	image   string
	owner   string            // value of mark
	publish bool              // ports on the engine's machine, as its networks are not this one's
	ids     map[string]string // container ID by instance name
}

// newDockerStage makes cfg watch the containers of this run alone.
func newDockerStage(ctx context.Context, p *printer, e engine, cfg *app.Config, binary, dir string) (_ stage, err error) {
	pid := strconv.Itoa(os.Getpid())
	s := &dockerStage{engine: e, image: mark + ":" + pid, ids: map[string]string{}}
	defer func() {
		if err != nil {
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
			defer cancel()
			err = errors.Join(err, s.Close(tidy))
		}
	}()
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	s.owner = hostname + "/" + pid
	cfg.DockerLabel = mark + "=" + s.owner
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
	return s, p.step("making the image "+s.image+", from nothing but this program", func() error { return s.makeImage(ctx, binary) })
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

// unlessMissing drops the error that what is to be removed is not there.
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
	// Names of its own for each run: two demos, and any other Fairway, may run side by side.
	prefix := fmt.Sprintf("%s-%d-", mark, os.Getpid())
	labels := map[string]string{"fairway.service": prefix + i.service}
	maps.Copy(labels, i.labels)
	port := network.MustParsePort("80/tcp")
	o := client.ContainerCreateOptions{
		Name: prefix + i.name(),
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
	return s.engine.ContainerRemove(ctx, id, true)
}

func (s *dockerStage) Words() words {
	return words{"container", "containers", "docker run --rm -l fairway.host=mine.localhost " + s.image}
}

// Close removes the image and its containers, also those that others have made.
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
	list = slices.DeleteFunc(list, func(c dockerapi.Container) bool { return !which(c) })
	failed, images := make([]error, len(list)), map[string]bool{}
	var wg sync.WaitGroup
	for i, c := range list {
		if strings.HasPrefix(c.Image, mark+":") && c.Image != s.image {
			images[c.Image] = true
		}
		wg.Go(func() { failed[i] = unlessMissing(s.engine.ContainerRemove(ctx, c.ID, true)) })
	}
	wg.Wait()
	for image := range images {
		failed = append(failed, s.removeImage(ctx, image))
	}
	return errors.Join(failed...)
}

// The next demo finds what a killed one has left by its directory, named by the process.
const (
	dirPrefix = "fairway-demo-"
	// imageNote is the file in the directory that names the image.
	imageNote = "image"
)

// makeDir makes the directory of this run.
func makeDir() (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
}

// removeLeftovers removes the directories of killed runs, each after removeImage, which is nil
// without an engine, has removed the image that it names.
func removeLeftovers(removeImage func(ref string) error) error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return err
	}
	var failed []error
	for _, dir := range dirs {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(text)
		if err != nil || alive(pid) {
			continue
		}
		image, err := os.ReadFile(filepath.Join(dir, imageNote))
		if err == nil {
			if removeImage == nil {
				continue // a later run, with an engine, can do both
			}
			if err := removeImage(string(image)); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrPermission) { // of another user
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// alive reports whether there is a process of that number.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// buildTime bounds the rebuilding of this program, a minute on two cores.
const buildTime = 10 * time.Minute

// staticBinary returns the path of a program that runs in an empty image: the
// executable, or a fresh build of it in dir where Go and the source are there.
func staticBinary(ctx context.Context, p *printer, executable, dir string) (string, error) {
	reason := checkStatic(executable)
	if reason == nil {
		return executable, nil
	}
	source, err := sourceRoot()
	if err != nil {
		return "", errors.Join(reason, err)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", errors.Join(reason, err)
	}
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	binary := filepath.Join(dir, "fairway")
	build := exec.CommandContext(ctx, tool, "build", "-o", binary, "./cmd/fairway")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	var out []byte
	err = p.step(fmt.Sprintf("building a static binary, %v", reason), func() (err error) {
		out, err = build.CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("go build: %w: %.500s", err, out)
	}
	return binary, checkStatic(binary)
}

// checkStatic returns why a program does not run in an empty image, or nil.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return errors.New("the one that runs is not a Linux program")
	}
	defer f.Close()
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("the one that runs needs shared libraries")
		}
	}
	return nil
}

// sourceRoot finds the source of this module by the path that the compiler has noted.
func sourceRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("the program was built without the path of its source")
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return "", fmt.Errorf("the source is not there: %w", err)
	}
	return root, nil
}

// writeImage writes the file system of an image that holds the program and
// nothing else, as a tar archive.
func writeImage(w io.Writer, binary string) error {
	f, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "fairway", Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(tw, f); err != nil {
		return err
	}
	return tw.Close()
}
