package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"fairway/internal/app"
	"fairway/internal/dockerapi"
)

// TestMain lets the test binary stand for the program: run as "whoami", it is
// the service.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "whoami" {
		os.Exit(childMain(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

func childMain(args []string) int {
	var o WhoamiOptions
	var untilStdin bool
	flags := flag.NewFlagSet("whoami", flag.ContinueOnError)
	flags.StringVar(&o.Listen, "listen", "", "")
	flags.StringVar(&o.Name, "name", "", "")
	flags.DurationVar(&o.LameDuck, "lame-duck", 0, "")
	flags.BoolVar(&untilStdin, "until-stdin-closes", false, "")
	if flags.Parse(args) != nil || !untilStdin {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := Whoami(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestTourWithProcesses runs the whole demo, the program in-process and real
// children, and looks at what it leaves.
func TestTourWithProcesses(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out bytes.Buffer
	err := Run(t.Context(), Options{Out: &out, Processes: true, Once: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`its pages are at http://127\.0\.0\.1:\d+/\n`, `curl http://shop\.localhost:\d+/\n`, `\d+ requests answered by: shop-1 \d+, shop-2 \d+\n`,
		`before   GET http://news\.localhost/   404`, `shop-4 answers`,
		`shop-3 answers, `, `shop-4 answers, `, `\d+ requests answered by: shop-1 \d+, shop-2 \d+, shop-3 \d+, shop-4 \d+\n`,
		`\d+ requests answered by: shop-2 \d+, shop-3 \d+, shop-4 \d+\n`, `in all, 0 failed\.\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the tour does not say %q", want)
		}
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// TestInterrupted ends the demo in the middle of the tour: that is no error,
// and nothing stays.
func TestInterrupted(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("3. ")) {
			cancel()
		}
		return len(p), nil
	})
	if err := Run(ctx, Options{Out: out, Processes: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestChildEndsWithParent pins that nothing is left when the demo is killed: the
// child ends when its standard input does.
func TestChildEndsWithParent(t *testing.T) {
	s := &processStage{executable: os.Args[0], file: filepath.Join(t.TempDir(), "services.yml")}
	if err := s.Start(t.Context(), instance{"a", 1, nil}); err != nil {
		t.Fatal(err)
	}
	if err := s.children[0].stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.children[0].process.Wait(); err != nil {
		t.Error(err)
	}
}

func TestServicesFile(t *testing.T) {
	s := &processStage{file: filepath.Join(t.TempDir(), "services.yml")}
	add := func(service string, number int, address string) {
		s.children = append(s.children, &child{instance: instance{service, number, shopLabels}, address: address})
	}
	add("shop", 1, "127.0.0.1:1")
	add("blog", 1, "127.0.0.1:2")
	add("shop", 2, "127.0.0.1:3")
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fairway.host: shop.localhost", "127.0.0.1:1", "127.0.0.1:3"} {
		if strings.Count(string(got), want) != strings.Count(want, "127")+2*strings.Count(want, "fairway") {
			t.Errorf("%q is not there as often as it should in\n%s", want, got)
		}
	}
}

func TestImageIsTheProgramAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("I am a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	if err := writeImage(&image, path); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&image)
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || h.Name != "fairway" || h.Mode != 0o755 || string(body) != "I am a program" {
		t.Errorf("got %+v %q %v", h, body, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("there is more in the image: %v", err)
	}
}

func TestCheckStatic(t *testing.T) {
	if err := checkStatic("demo.go"); err == nil {
		t.Error("a text passes for a program")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	// The go command is built without cgo since Go 1.20 or so; whatever it is,
	// sourceRoot has to find this module.
	t.Logf("%s: %v", tool, checkStatic(tool))
	root, err := sourceRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "internal", "demo", "docker.go")); err != nil {
		t.Error(err)
	}
}

func TestLabelText(t *testing.T) {
	if got, want := labelText(map[string]string{"b": "2", "a": "1"}), "-l a=1 -l b=2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := labelText(nil); got != "" {
		t.Errorf("got %q", got)
	}
}

// fakeEngine is a Docker Engine that only remembers.
type fakeEngine struct {
	mu         sync.Mutex
	images     []string
	containers []dockerapi.Container
	refuse     error // what ImageImport returns
	closed     bool
}

func (f *fakeEngine) Info(context.Context) (dockerapi.Info, error) { return dockerapi.Info{}, nil }
func (f *fakeEngine) Host() dockerapi.Host                         { return dockerapi.Host{Local: true} }
func (f *fakeEngine) URL() string                                  { return "unix:///fake" }
func (f *fakeEngine) Close()                                       { f.closed = true }

func (f *fakeEngine) ContainerList(context.Context, bool) ([]dockerapi.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.containers), nil
}

func (f *fakeEngine) ContainerCreate(_ context.Context, o client.ContainerCreateOptions) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers = append(f.containers, dockerapi.Container{ID: o.Name, Name: o.Name, Image: o.Config.Image, Labels: o.Config.Labels})
	return o.Name, nil
}

func (f *fakeEngine) ContainerStart(context.Context, string) error               { return nil }
func (f *fakeEngine) ContainerStop(context.Context, string, time.Duration) error { return nil }

func (f *fakeEngine) ContainerRemove(_ context.Context, id string, _ bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers = slices.DeleteFunc(f.containers, func(c dockerapi.Container) bool { return c.ID == id })
	return nil
}

func (f *fakeEngine) ImageImport(_ context.Context, ref string, archive io.Reader, _ []string) error {
	if f.refuse != nil {
		return f.refuse
	}
	f.images = append(f.images, ref)
	_, err := io.Copy(io.Discard, archive)
	return err
}

func (f *fakeEngine) ImageRemove(_ context.Context, ref string, _ bool) error {
	f.images = slices.DeleteFunc(f.images, func(s string) bool { return s == ref })
	return nil
}

// TestDockerStageTidiesUp pins what is removed: the own containers, those that
// somebody made from the own image, and those that a killed demo on this machine
// has left, with their image. Nobody else's.
func TestDockerStageTidiesUp(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(binary, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	marked := func(name, owner, image string) dockerapi.Container {
		return dockerapi.Container{ID: name, Name: name, Image: image, Labels: map[string]string{mark: owner}}
	}
	const nobody = 1 << 30 // beyond any process number
	f := &fakeEngine{
		images: []string{fmt.Sprintf("%s:%d", mark, nobody), "other"},
		containers: []dockerapi.Container{
			marked("left", fmt.Sprintf("%s/%d", hostname, nobody), fmt.Sprintf("%s:%d", mark, nobody)),
			marked("elsewhere", fmt.Sprintf("not-%s/%d", hostname, nobody), mark+":7"),
			marked("running", fmt.Sprintf("%s/%d", hostname, os.Getppid()), mark+":8"),
			{ID: "strange", Name: "strange", Image: "other"},
		},
	}
	var cfg app.Config
	s, err := newDockerStage(t.Context(), &printer{out: io.Discard}, f, &cfg, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	names := func() string {
		var list []string
		for _, c := range f.containers {
			list = append(list, c.Name)
		}
		return strings.Join(list, " ")
	}
	if got, want := names(), "elsewhere running strange"; got != want {
		t.Errorf("after the sweep: %s, want %s", got, want)
	}
	for n := 1; n <= 2; n++ {
		if err := s.Start(t.Context(), instance{"shop", n, shopLabels}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := cfg.DockerLabel, fmt.Sprintf("%s=%s/%d", mark, hostname, os.Getpid()); got != want {
		t.Errorf("what is watched has the label %q, want %q", got, want)
	}
	if got, want := f.containers[len(f.containers)-1].Labels["fairway.service"], fmt.Sprintf("%s-%d-shop", mark, os.Getpid()); got != want {
		t.Errorf("the service is named %s, which others may be, want %s", got, want)
	}
	// The label of the image is on each container that is made from it.
	for i := range f.containers {
		if strings.HasPrefix(f.containers[i].Name, mark) {
			f.containers[i].Labels[mark] = fmt.Sprintf("%s/%d", hostname, os.Getpid())
		}
	}
	if err := s.Stop(t.Context(), "shop-1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := names(), "elsewhere running strange"; got != want {
		t.Errorf("after the end: %s, want %s", got, want)
	}
	if got := strings.Join(f.images, " "); got != "other" || !f.closed {
		t.Errorf("images %s, closed %v", got, f.closed)
	}
}

// TestLeftovers pins what happens to the directories of other runs: those of
// dead ones go, together with the image that they name; one whose image cannot
// be removed stays for the next time.
func TestLeftovers(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	const nobody = 1 << 30
	for name, image := range map[string]string{
		fmt.Sprintf("%s%d-plain", dirPrefix, nobody):         "",
		fmt.Sprintf("%s%d-image", dirPrefix, nobody):         "gone",
		fmt.Sprintf("%s%d-refused", dirPrefix, nobody):       "refused",
		fmt.Sprintf("%s%d-running", dirPrefix, os.Getppid()): "",
		dirPrefix + "strange":                                "",
	} {
		if err := os.Mkdir(filepath.Join(tmp, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if image == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(tmp, name, imageNote), []byte(image), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		entries, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			_, name, _ := strings.Cut(strings.TrimPrefix(e.Name(), dirPrefix), "-")
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	if err := removeLeftovers(nil); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(left()); got != "[ image refused running]" {
		t.Errorf("without an engine: %s", got)
	}
	refused := errors.New("in use")
	err := removeLeftovers(func(ref string) error {
		if ref == "refused" {
			return refused
		}
		return nil
	})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if got := fmt.Sprint(left()); got != "[ refused running]" {
		t.Errorf("with an engine: %s", got)
	}
}

// TestReaderGone ends the demo when nobody reads what it prints.
func TestReaderGone(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lines := 0
	out := writerFunc(func(p []byte) (int, error) {
		if lines++; lines > 5 {
			return 0, syscall.EPIPE
		}
		return len(p), nil
	})
	if err := Run(t.Context(), Options{Out: out, Processes: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}); err != nil {
		t.Error(err)
	}
}

func TestDockerStageFailsTidily(t *testing.T) {
	refused := errors.New("no space")
	f := &fakeEngine{refuse: refused}
	if _, err := newDockerStage(t.Context(), &printer{out: io.Discard}, f, &app.Config{}, "demo.go", t.TempDir()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if !f.closed {
		t.Error("the client is left open")
	}
}
