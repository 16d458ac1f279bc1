package plan

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/discovery"
)

// saying is a source with one answer.
type saying struct {
	name   string
	answer catalog.Answer
}

func (s saying) Name() string { return s.name }

func (s saying) Run(ctx context.Context, out chan<- catalog.Answer) {
	out <- s.answer
	<-ctx.Done()
}

// TestDiagnoseConnects connects to the endpoints: nothing is served by a port where nothing
// listens.
func TestDiagnoseConnects(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	service := func(name string, at net.Addr) *catalog.Service {
		return &catalog.Service{
			ID: name + "@docker", Name: name, Source: "docker",
			Instances: []*catalog.Instance{{
				ID: name + "-0123456789", Name: name, Source: "docker", State: catalog.StateReady,
				Ports:     []catalog.Port{{Number: 1, Protocol: "tcp"}},
				Addresses: []catalog.Address{{Host: "127.0.0.1", Network: "bridge", Reach: catalog.ReachBridge}},
				Labels:    map[string]string{"fairway.host": name + ".example", "fairway.port": strconv.Itoa(at.(*net.TCPAddr).Port)},
			}},
		}
	}
	docker := saying{"docker", catalog.Answer{Services: []*catalog.Service{service("closed", closed.Addr()), service("open", open.Addr())}}}
	ask := func(name string) api.Diagnosis {
		t.Helper()
		found, err := Diagnose(t.Context(), []discovery.Source{docker}, compile.Settings{}, name)
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		return found[0]
	}
	if d := ask("open"); !d.Served {
		t.Errorf("a port that accepts: %+v", d)
	}
	d := ask("closed")
	last := d.Checks[len(d.Checks)-1]
	if d.Served || last.Name != "connection" || !strings.HasPrefix(last.Text, "connection refused at 127.0.0.1:") || !strings.Contains(last.Hint, "fairway.port=1") {
		t.Errorf("a port that refuses: %+v", d)
	}
}

// TestDiagnoseNamesWhatToDo says how to let Fairway open Docker's socket, also where another
// source answers and has nothing of the name.
func TestDiagnoseNamesWhatToDo(t *testing.T) {
	denied := saying{"docker", catalog.Answer{Err: &net.OpError{Op: "dial", Net: "unix", Err: errDenied{}}}}
	for name, sources := range map[string][]discovery.Source{
		"alone": {denied}, "beside one that answers": {denied, saying{"file:s.yml", catalog.Answer{}}},
	} {
		_, err := Diagnose(t.Context(), sources, compile.Settings{}, "app")
		for _, want := range []string{"permission denied", "usermod -aG docker", "DOCKER_GID", "sudo"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in: %v", name, want, err)
			}
		}
	}
}

type errDenied struct{}

func (errDenied) Error() string { return "connect: permission denied" }
